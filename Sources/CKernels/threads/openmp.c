// Opens the OpenMP runtime when threads are first needed: not before the program has chosen its
// settings, and never in a program that computes nothing.
#include "threads/openmp.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "kernels.h"

static sdk_openmp runtime;
static int is_open;
static char problem[256];

static int fill(void *library) {
#define FIND(name, result, parameters) \
  runtime.name = (__typeof__(runtime.name))dlsym(library, #name); \
  if (!runtime.name) { \
    snprintf(problem, sizeof problem, "the OpenMP runtime has no " #name); \
    return 0; \
  }
  SDK_OPENMP_FUNCTIONS(FIND)
#undef FIND
  return 1;
}

static void open_once(void) {
  // GCC's, LLVM's and Intel's. oneDNN is built for one of them, and has opened it if it is there.
  static const char *const names[] = {"libgomp.so.1", "libomp.so.5", "libiomp5.so"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *const library = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD);
    if (library && fill(library)) {
      is_open = 1;
      return;
    }
  }
  void *const library = dlopen(names[0], RTLD_NOW);
  if (!library) {
    const char *reason = dlerror();
    snprintf(problem, sizeof problem, "%s", reason ? reason : names[0]);
    return;
  }
  is_open = fill(library);
}

const sdk_openmp *sdk_openmp_runtime(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, open_once);
  return is_open ? &runtime : NULL;
}

const char *sdk_threads_problem(void) { return sdk_openmp_runtime() ? NULL : problem; }
