// The kernels in AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>

#include "dispatch.h"
#include "product_tables.h"

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq"))), \
    apply_to = function)

#include "avx512_words.h"

#define KERNELS sdk_avx512_kernels
#define PRODUCTS sdk_avx512_products
#include "vector.h"

#pragma clang attribute pop
#endif
