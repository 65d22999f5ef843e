// The vocabulary of vector kernels: `vector`, WIDTH, v_load and so on, for the one instruction set
// that a C file names before it includes anything.
//
// Every function of a vector kernel is VECTOR, which lets the compiler use that instruction set, or
// INLINE, which is always inlined too.
#pragma once

#if defined(SDK_VECTORS_AVX2)
#include "vector/words_avx2.h"
#elif defined(SDK_VECTORS_AVX512) || defined(SDK_VECTORS_AVX512_BF16)
#include "vector/words_avx512.h"
#else
#error "define SDK_VECTORS_AVX2, SDK_VECTORS_AVX512 or SDK_VECTORS_AVX512_BF16 first"
#endif

#include "products.h"
#include "vector/unrolling.h"

/// Vectors per panel.
#define PANEL_VECTORS (SDK_PANEL / WIDTH)
