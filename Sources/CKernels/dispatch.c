// Chooses the kernels by what the CPU reports, once.
#include "dispatch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

ck_isa ck_isa_best(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return CK_AVX512;
  // Every CPU with AVX2 and FMA has F16C.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return CK_AVX2;
#endif
  return CK_PLAIN;
}

int ck_has_bf16(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return ck_isa_best() == CK_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
  return 0;
#endif
}

static ck_isa initial(void) {
  const ck_isa best = ck_isa_best();
  const char *wanted = getenv("SDKIT_ISA");
  if (wanted == NULL) return best;
  if (strcmp(wanted, "plain") == 0) return CK_PLAIN;
  if (strcmp(wanted, "avx2") == 0 && best >= CK_AVX2) return CK_AVX2;
  return best;
}

// -1 until first asked for. Two threads that ask at once find the same answer.
static atomic_int current = -1;

ck_isa ck_isa_current(void) {
  int level = atomic_load_explicit(&current, memory_order_relaxed);
  if (level < 0) {
    level = (int)initial();
    atomic_store_explicit(&current, level, memory_order_relaxed);
  }
  return (ck_isa)level;
}

void ck_isa_force(ck_isa isa) {
  const ck_isa best = ck_isa_best();
  atomic_store_explicit(&current, (int)(isa < best ? isa : best), memory_order_relaxed);
}

const kernel_table *ck_kernels(void) {
  switch (ck_isa_current()) {
#if defined(__x86_64__)
    case CK_AVX512: return &ck_avx512_kernels;
    case CK_AVX2: return &ck_avx2_kernels;
#endif
    default: return &ck_plain_kernels;
  }
}
