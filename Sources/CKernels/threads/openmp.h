// The OpenMP runtime of the process: whose threads compute our kernels, and oneDNN's layers.
#pragma once

/// The entry points that GCC's libgomp keeps stable for compilers, and LLVM's libomp has too. clang as
/// Swift ships it has no OpenMP headers, and needs none for these.
#define SDK_OPENMP_FUNCTIONS(X) \
  X(GOMP_parallel, void, (void (*body)(void *), void *data, unsigned threads, unsigned flags)) \
  X(omp_get_thread_num, int, (void)) \
  X(omp_get_max_threads, int, (void)) \
  X(omp_get_level, int, (void)) \
  X(omp_set_num_threads, void, (int count))

typedef struct {
#define MEMBER(name, result, parameters) result(*name) parameters;
  SDK_OPENMP_FUNCTIONS(MEMBER)
#undef MEMBER
} sdk_openmp;

/// The runtime, opened at the first call; null where there is none.
///
/// One that the process has already is taken, so that oneDNN and our kernels share their threads. A
/// runtime reads its environment (GOMP_SPINCOUNT, OMP_WAIT_POLICY) when it is opened.
const sdk_openmp *sdk_openmp_runtime(void);
