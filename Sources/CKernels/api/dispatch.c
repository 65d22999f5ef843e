// Chooses the kernels once, by what the CPU reports.
#include "api/kernel_table.h"
#include "api/product_table.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

sdk_isa sdk_isa_best(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return SDK_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return SDK_AVX2;
#endif
  return SDK_PLAIN;
}

int sdk_has_bf16(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return sdk_isa_best() == SDK_AVX512 && __builtin_cpu_supports("avx512bf16");
#else
  return 0;
#endif
}

int sdk_has_tiles(void) {
#if defined(__x86_64__)
  // Leaf 7: bit 22 of EDX is AMX-BF16, bit 24 AMX-TILE. XCR0: bits 17 and 18 say that the system
  // saves tiles, bit 27 of leaf 1's ECX that XCR0 can be read.
  enum { BF16_AND_TILES = 1 << 22 | 1 << 24, SAVED = 3 << 17, XGETBV = 1 << 27 };
  unsigned a, b, c, d;
  if (!sdk_has_bf16() || !__get_cpuid(1, &a, &b, &c, &d) || !(c & XGETBV)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if ((d & BF16_AND_TILES) != BF16_AND_TILES) return 0;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & SAVED) == SAVED;
#else
  return 0;
#endif
}

/// The same as sdk_has_bf16, queried once.
static int has_bf16(void) {
  static atomic_int known = -1;
  int answer = atomic_load_explicit(&known, memory_order_relaxed);
  if (answer < 0) {
    answer = sdk_has_bf16();
    atomic_store_explicit(&known, answer, memory_order_relaxed);
  }
  return answer;
}

static sdk_isa initial(void) {
  const sdk_isa best = sdk_isa_best();
  const char *wanted = getenv("SDLOOM_ISA");
  if (wanted == NULL) return best;
  if (strcmp(wanted, "plain") == 0) return SDK_PLAIN;
  if (strcmp(wanted, "avx2") == 0 && best >= SDK_AVX2) return SDK_AVX2;
  return best;
}

// -1 until first used. Two threads that ask at once find the same answer.
static atomic_int chosen = -1;

// The level forced on this thread, or -1. Each thread has its own, since a level that changed under
// a running kernel would change the layout of its scratch memory.
static _Thread_local int forced = -1;

sdk_isa sdk_isa_current(void) {
  if (forced >= 0) return (sdk_isa)forced;
  int level = atomic_load_explicit(&chosen, memory_order_relaxed);
  if (level < 0) {
    level = (int)initial();
    atomic_store_explicit(&chosen, level, memory_order_relaxed);
  }
  return (sdk_isa)level;
}

void sdk_isa_force(sdk_isa isa) {
  const sdk_isa best = sdk_isa_best();
  forced = (int)(isa < best ? isa : best);
}

const kernel_table *sdk_kernels(void) {
  switch (sdk_isa_current()) {
#if defined(__x86_64__)
    case SDK_AVX512: return has_bf16() ? &sdk_avx512_bf16_kernels : &sdk_avx512_kernels;
    case SDK_AVX2: return &sdk_avx2_kernels;
#endif
    default: return &sdk_plain_kernels;
  }
}

const product_table *sdk_products(void) {
  switch (sdk_isa_current()) {
#if defined(__x86_64__)
    case SDK_AVX512: return has_bf16() ? &sdk_avx512_bf16_products : &sdk_avx512_products;
    case SDK_AVX2: return &sdk_avx2_products;
#endif
    default: return &sdk_plain_products;
  }
}
