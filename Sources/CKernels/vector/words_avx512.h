// The vocabulary for AVX-512: vectors of 16 values, tiles of 64 queries. With
// SDK_VECTORS_AVX512_BF16 also HAS_BF16_PRODUCTS, matmuls of bf16 pairs. See words.h.
#pragma once

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "vector/unrolling.h"

#ifdef SDK_VECTORS_AVX512_BF16
#define HAS_BF16_PRODUCTS
#define VECTOR \
  __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define KERNELS sdk_avx512_bf16_kernels
#define PRODUCTS sdk_avx512_bf16_products
#else
#define VECTOR __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq")))
#define KERNELS sdk_avx512_kernels
#define PRODUCTS sdk_avx512_products
#endif
#define INLINE VECTOR static inline __attribute__((always_inline))

typedef __m512 vector;
#define WIDTH 16
// 24 accumulators, 4 vectors of queries and a broadcast fit in 32 registers.
#define TILE_VECTORS 4
#define TILE_ROWS 6
// 28 accumulators, 2 vectors of weights and a broadcast.
#define PRODUCT_ROWS 14

INLINE __mmask16 first_lanes(size_t count) { return (__mmask16)((1u << count) - 1); }

INLINE vector v_set(float value) { return _mm512_set1_ps(value); }
INLINE vector v_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void v_store(float *p, vector v) { _mm512_storeu_ps(p, v); }
INLINE vector v_load_part(const float *p, size_t n) {
  return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
INLINE void v_store_part(float *p, vector v, size_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), v);
}
INLINE vector v_add(vector a, vector b) { return _mm512_add_ps(a, b); }
INLINE vector v_sub(vector a, vector b) { return _mm512_sub_ps(a, b); }
INLINE vector v_mul(vector a, vector b) { return _mm512_mul_ps(a, b); }
INLINE vector v_div(vector a, vector b) { return _mm512_div_ps(a, b); }
INLINE vector v_fma(vector a, vector b, vector c) { return _mm512_fmadd_ps(a, b, c); }
/// b if either is NaN; so is v_min.
INLINE vector v_max(vector a, vector b) { return _mm512_max_ps(a, b); }
INLINE vector v_min(vector a, vector b) { return _mm512_min_ps(a, b); }
INLINE vector v_abs(vector a) { return _mm512_abs_ps(a); }
INLINE vector v_round(vector a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
/// a * 2^n for integral n, else for the next lower integer.
INLINE vector v_scale(vector a, vector n) { return _mm512_scalef_ps(a, n); }
INLINE float v_sum(vector a) { return _mm512_reduce_add_ps(a); }
/// a if x < 0, else b.
INLINE vector v_where_negative(vector x, vector a, vector b) {
  return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), b, a);
}
INLINE int v_all_equal(vector a, vector b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ) == 0xffff;
}
/// v in the lanes from `first` on, -infinity before.
INLINE vector v_hide_before(vector v, size_t first) {
  const __mmask16 hidden = first >= WIDTH ? 0xffff : first_lanes(first);
  return _mm512_mask_blend_ps(hidden, v, _mm512_set1_ps(-__builtin_inff()));
}

INLINE vector v_from_bfloat(const uint16_t *p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
#ifdef HAS_BF16_PRODUCTS
INLINE void v_to_bfloat(uint16_t *p, vector v) {
  _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh(v));
}
#else
/// The rounded value in the upper half of each lane.
INLINE __m512i bfloat_bits(vector v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_mask_blend_epi32(
      nan, rounded, _mm512_or_si512(bits, _mm512_set1_epi32(0x400000)));
}
INLINE void v_to_bfloat(uint16_t *p, vector v) {
  _mm256_storeu_si256(
      (__m256i *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bfloat_bits(v), 16)));
}
#endif

// Pairs: in each lane of 32 bits the bf16 of one vector, then that of the next.

INLINE void v_from_pairs(const uint16_t *p, vector *first, vector *second) {
  const __m512i both = _mm512_loadu_si512(p);
  *first = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
  *second = _mm512_castsi512_ps(
      _mm512_and_si512(both, _mm512_set1_epi32((int)0xffff0000)));
}
#ifdef HAS_BF16_PRODUCTS
typedef __m512bh pairs;

INLINE pairs v_load_pairs(const uint16_t *p) { return (pairs)_mm512_loadu_si512(p); }
INLINE pairs v_set_pair(const uint16_t *p) {
  int both;
  memcpy(&both, p, 4);
  return (pairs)_mm512_set1_epi32(both);
}
/// sum + the products of both numbers of each lane.
INLINE vector v_dot(vector sum, pairs a, pairs b) { return _mm512_dpbf16_ps(sum, a, b); }
INLINE pairs v_pairs(vector first, vector second) {
  const __m512i order = _mm512_set_epi16(
      31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
      3, 18, 2, 17, 1, 16, 0);
  return (pairs)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}
INLINE void v_to_pairs(uint16_t *p, vector first, vector second) {
  _mm512_storeu_si512(p, (__m512i)v_pairs(first, second));
}
/// x minus the next lower integer; 0 for infinities.
INLINE vector v_fraction(vector x) {
  return _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
/// 1 / x with a relative error below 2^-14.
INLINE vector v_inverse_short(vector x) { return _mm512_rcp14_ps(x); }
/// Whether a > b in any lane.
INLINE int v_any_above(vector a, vector b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
/// ZIP_WIDTH pairs of bf16 values.
#define ZIP_WIDTH 8
INLINE void v_zip_bfloat(uint16_t *p, const uint16_t *first, const uint16_t *second) {
  const __m128i a = _mm_loadu_si128((const __m128i *)first);
  const __m128i b = _mm_loadu_si128((const __m128i *)second);
  _mm_storeu_si128((__m128i *)p, _mm_unpacklo_epi16(a, b));
  _mm_storeu_si128((__m128i *)(p + ZIP_WIDTH), _mm_unpackhi_epi16(a, b));
}
/// 2^x for x <= 127 in the upper half of each lane, rounded to bf16; about 2^-126 below -126. NaN
/// for NaN. Relative error below 8e-5 before the rounding.
///
/// Only additions and integer operations leave the multipliers free: instructions that scale and
/// that round to bf16 take four times as long.
INLINE __m512i weight_bits(vector x) {
  // Adding it to x rounds x to an integer, in the lowest bits.
  const vector magic = v_set(12582912.0f);
  x = v_max(v_set(-126.0f), x);
  const vector shifted = v_add(x, magic);
  const vector f = v_sub(x, v_sub(shifted, magic));
  vector p = v_set(0.05517166854f);
  p = v_fma(p, f, v_set(0.2426111332f));
  p = v_fma(p, f, v_set(0.6932609865f));
  p = v_fma(p, f, v_set(0.9999280729f));
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_add_epi32(
      _mm512_add_epi32(_mm512_castps_si512(p), exponent), _mm512_set1_epi32(0x8000));
}
/// The results of `weight_bits` for two vectors as pairs; returns the sum of both as rounded.
INLINE vector v_weights_to_pairs(uint16_t *p, vector first, vector second) {
  const __m512i high = _mm512_set1_epi32((int)0xffff0000);
  const __m512i a = _mm512_and_si512(weight_bits(first), high);
  const __m512i b = _mm512_and_si512(weight_bits(second), high);
  _mm512_storeu_si512(p, _mm512_or_si512(_mm512_srli_epi32(a, 16), b));
  return v_add(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b));
}
#else
INLINE void v_to_pairs(uint16_t *p, vector first, vector second) {
  _mm512_storeu_si512(
      p, _mm512_or_si512(
             _mm512_srli_epi32(bfloat_bits(first), 16),
             _mm512_and_si512(bfloat_bits(second), _mm512_set1_epi32((int)0xffff0000))));
}
#endif
/// Transposes a square of WIDTH by WIDTH.
INLINE void v_transpose(const float *x, size_t x_stride, float *y, size_t y_stride) {
  __m512 a[16], b[16];
  UNROLL
  for (int i = 0; i < 16; i++) a[i] = _mm512_loadu_ps(x + (size_t)i * x_stride);
  UNROLL
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
  }
  UNROLL
  for (int i = 0; i < 16; i += 4) {
    UNROLL
    for (int j = 0; j < 2; j++) {
      const __m512d low = _mm512_castps_pd(b[i + j]), high = _mm512_castps_pd(b[i + 2 + j]);
      a[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
      a[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
  }
  UNROLL
  for (int i = 0; i < 16; i += 8)
    UNROLL
    for (int j = 0; j < 4; j++) {
      b[i + j] = _mm512_shuffle_f32x4(a[i + j], a[i + 4 + j], 0x88);
      b[i + 4 + j] = _mm512_shuffle_f32x4(a[i + j], a[i + 4 + j], 0xdd);
    }
  UNROLL
  for (int j = 0; j < 8; j++) {
    _mm512_storeu_ps(y + (size_t)j * y_stride, _mm512_shuffle_f32x4(b[j], b[8 + j], 0x88));
    _mm512_storeu_ps(
        y + (size_t)(8 + j) * y_stride, _mm512_shuffle_f32x4(b[j], b[8 + j], 0xdd));
  }
}
