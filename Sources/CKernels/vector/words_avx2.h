// The vocabulary for AVX2 with FMA: vectors of 8 values, tiles of 16 queries. See words.h.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "vector/unrolling.h"

#define VECTOR __attribute__((target("avx2,fma")))
#define INLINE VECTOR static inline __attribute__((always_inline))
#define KERNELS sdk_avx2_kernels
#define PRODUCTS sdk_avx2_products

typedef __m256 vector;
#define WIDTH 8
// 12 accumulators, 2 vectors of queries and a broadcast fit in 16 registers.
#define TILE_VECTORS 2
#define TILE_ROWS 6
// 12 accumulators, 3 broadcasts and a vector of weights.
#define PRODUCT_ROWS 3

INLINE __m256i first_lanes(size_t count) {
  return _mm256_cmpgt_epi32(
      _mm256_set1_epi32((int)count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE vector v_set(float value) { return _mm256_set1_ps(value); }
INLINE vector v_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void v_store(float *p, vector v) { _mm256_storeu_ps(p, v); }
INLINE vector v_load_part(const float *p, size_t n) {
  return _mm256_maskload_ps(p, first_lanes(n));
}
INLINE void v_store_part(float *p, vector v, size_t n) {
  _mm256_maskstore_ps(p, first_lanes(n), v);
}
INLINE vector v_add(vector a, vector b) { return _mm256_add_ps(a, b); }
INLINE vector v_sub(vector a, vector b) { return _mm256_sub_ps(a, b); }
INLINE vector v_mul(vector a, vector b) { return _mm256_mul_ps(a, b); }
INLINE vector v_div(vector a, vector b) { return _mm256_div_ps(a, b); }
INLINE vector v_fma(vector a, vector b, vector c) { return _mm256_fmadd_ps(a, b, c); }
/// b if either is NaN; so is v_min.
INLINE vector v_max(vector a, vector b) { return _mm256_max_ps(a, b); }
INLINE vector v_min(vector a, vector b) { return _mm256_min_ps(a, b); }
INLINE vector v_abs(vector a) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
INLINE vector v_round(vector a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/// a * 2^n for integral n of at least -126 and at most 127; infinite for a > 0 and n = 128.
INLINE vector v_scale(vector a, vector n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23)));
}
INLINE float v_sum(vector a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
/// a if x < 0, else b.
INLINE vector v_where_negative(vector x, vector a, vector b) {
  return _mm256_blendv_ps(b, a, x);
}
INLINE int v_all_equal(vector a, vector b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)) == 0xff;
}
/// v in the lanes from `first` on, -infinity before.
INLINE vector v_hide_before(vector v, size_t first) {
  return _mm256_blendv_ps(
      v, _mm256_set1_ps(-__builtin_inff()), _mm256_castsi256_ps(first_lanes(first)));
}

INLINE vector v_from_bfloat(const uint16_t *p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
/// The rounded value in the upper half of each lane.
INLINE __m256i bfloat_bits(vector v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  return _mm256_blendv_epi8(rounded, _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)), nan);
}
INLINE void v_to_bfloat(uint16_t *p, vector v) {
  const __m256i chosen = _mm256_srli_epi32(bfloat_bits(v), 16);
  _mm_storeu_si128(
      (__m128i *)p, _mm_packus_epi32(
                        _mm256_castsi256_si128(chosen), _mm256_extracti128_si256(chosen, 1)));
}

// Pairs: in each lane of 32 bits the bf16 of one vector, then that of the next.

INLINE void v_from_pairs(const uint16_t *p, vector *first, vector *second) {
  const __m256i both = _mm256_loadu_si256((const __m256i *)p);
  *first = _mm256_castsi256_ps(_mm256_slli_epi32(both, 16));
  *second = _mm256_castsi256_ps(
      _mm256_and_si256(both, _mm256_set1_epi32((int)0xffff0000)));
}
INLINE void v_to_pairs(uint16_t *p, vector first, vector second) {
  _mm256_storeu_si256(
      (__m256i *)p,
      _mm256_or_si256(
          _mm256_srli_epi32(bfloat_bits(first), 16),
          _mm256_and_si256(bfloat_bits(second), _mm256_set1_epi32((int)0xffff0000))));
}
/// Transposes a square of WIDTH by WIDTH.
INLINE void v_transpose(const float *x, size_t x_stride, float *y, size_t y_stride) {
  __m256 a[8], b[8];
  UNROLL
  for (int i = 0; i < 8; i++) a[i] = _mm256_loadu_ps(x + (size_t)i * x_stride);
  UNROLL
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
  UNROLL
  for (int i = 0; i < 8; i += 4)
    UNROLL
    for (int j = 0; j < 2; j++) {
      a[i + 2 * j] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0x44);
      a[i + 2 * j + 1] = _mm256_shuffle_ps(b[i + j], b[i + 2 + j], 0xee);
    }
  UNROLL
  for (int j = 0; j < 4; j++) {
    _mm256_storeu_ps(y + (size_t)j * y_stride, _mm256_permute2f128_ps(a[j], a[4 + j], 0x20));
    _mm256_storeu_ps(
        y + (size_t)(4 + j) * y_stride, _mm256_permute2f128_ps(a[j], a[4 + j], 0x31));
  }
}
