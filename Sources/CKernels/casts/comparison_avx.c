// The comparison of F32 with F32 in AVX2 and AVX-512.
//
// Equal vectors cost one comparison; vectors with values that are not finite go to the plain
// version. The largest relative difference is found without dividing: a quotient is computed only
// if it exceeds the largest so far.
#if defined(__x86_64__)
#include <immintrin.h>

#include "casts/sums.h"

// MARK: AVX-512

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

AVX512 void sdk_compare_f32_avx512(
    const void *a, const void *b, size_t count, sdk_comparison *result) {
  const char *left = a, *right = b;
  const __m512 infinite = _mm512_set1_ps(INFINITY);
  __m512d absolute = _mm512_set1_pd(result->absolute), square = _mm512_setzero_pd();
  double relative = result->relative;
  size_t differing = 0, i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m512 x = _mm512_loadu_ps(left + i * 4), y = _mm512_loadu_ps(right + i * 4);
    const __mmask16 unequal = _mm512_cmp_ps_mask(x, y, _CMP_NEQ_UQ);
    if (!unequal) continue;
    const __m512 size = _mm512_range_ps(x, y, 0x0B);  // the larger magnitude
    if (_mm512_cmp_ps_mask(_mm512_abs_ps(x), infinite, _CMP_NLT_UQ) |
        _mm512_cmp_ps_mask(_mm512_abs_ps(y), infinite, _CMP_NLT_UQ)) {
      sdk_compare_f32_plain(left + i * 4, right + i * 4, 16, result);
      continue;
    }
    differing += (size_t)__builtin_popcount(unequal);
    for (int half = 0; half < 2; half++) {
      const __m512d p =
          _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(x, 1) : _mm512_castps512_ps256(x));
      const __m512d q =
          _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(y, 1) : _mm512_castps512_ps256(y));
      const __m512d largest =
          _mm512_cvtps_pd(half ? _mm512_extractf32x8_ps(size, 1) : _mm512_castps512_ps256(size));
      const __m512d distance = _mm512_abs_pd(_mm512_sub_pd(p, q));
      absolute = _mm512_max_pd(absolute, distance);
      square = _mm512_fmadd_pd(distance, distance, square);
      const __mmask8 more = _mm512_cmp_pd_mask(
          distance, _mm512_mul_pd(_mm512_set1_pd(relative), largest), _CMP_GT_OQ);
      if (more)
        relative = fmax(relative, _mm512_mask_reduce_max_pd(more, _mm512_div_pd(distance, largest)));
    }
  }
  result->differing += differing;
  result->absolute = fmax(result->absolute, _mm512_reduce_max_pd(absolute));
  result->relative = fmax(result->relative, relative);
  result->square += _mm512_reduce_add_pd(square);
  sdk_compare_f32_plain(left + i * 4, right + i * 4, count - i, result);
}

// MARK: AVX2

#define AVX2 __attribute__((target("avx2,fma")))

AVX2 void sdk_compare_f32_avx2(
    const void *a, const void *b, size_t count, sdk_comparison *result) {
  const char *left = a, *right = b;
  const __m256 infinite = _mm256_set1_ps(INFINITY);
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32((int)MAGNITUDE));
  const __m256d wide_magnitude = _mm256_castsi256_pd(_mm256_set1_epi64x(INT64_MAX));
  __m256d absolute = _mm256_set1_pd(result->absolute), square = _mm256_setzero_pd();
  double relative = result->relative;
  size_t differing = 0, i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 x = _mm256_loadu_ps((const void *)(left + i * 4));
    const __m256 y = _mm256_loadu_ps((const void *)(right + i * 4));
    const unsigned unequal = (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(x, y, _CMP_NEQ_UQ));
    if (!unequal) continue;
    const __m256 p = _mm256_and_ps(x, magnitude), q = _mm256_and_ps(y, magnitude);
    const __m256 odd = _mm256_or_ps(
        _mm256_cmp_ps(p, infinite, _CMP_NLT_UQ), _mm256_cmp_ps(q, infinite, _CMP_NLT_UQ));
    if (_mm256_movemask_ps(odd)) {
      sdk_compare_f32_plain(left + i * 4, right + i * 4, 8, result);
      continue;
    }
    differing += (size_t)__builtin_popcount(unequal);
    const __m256 size = _mm256_max_ps(p, q);
    for (int half = 0; half < 2; half++) {
      const __m256d from =
          _mm256_cvtps_pd(half ? _mm256_extractf128_ps(x, 1) : _mm256_castps256_ps128(x));
      const __m256d to =
          _mm256_cvtps_pd(half ? _mm256_extractf128_ps(y, 1) : _mm256_castps256_ps128(y));
      const __m256d largest =
          _mm256_cvtps_pd(half ? _mm256_extractf128_ps(size, 1) : _mm256_castps256_ps128(size));
      const __m256d distance = _mm256_and_pd(_mm256_sub_pd(from, to), wide_magnitude);
      absolute = _mm256_max_pd(absolute, distance);
      square = _mm256_fmadd_pd(distance, distance, square);
      const __m256d more = _mm256_cmp_pd(
          distance, _mm256_mul_pd(_mm256_set1_pd(relative), largest), _CMP_GT_OQ);
      if (_mm256_movemask_pd(more)) {
        // Pairs of zeros give NaN, which fmax ignores.
        double quotients[4];
        _mm256_storeu_pd(quotients, _mm256_div_pd(distance, largest));
        for (int lane = 0; lane < 4; lane++) relative = fmax(relative, quotients[lane]);
      }
    }
  }
  double lanes[4], squares[4];
  _mm256_storeu_pd(lanes, absolute);
  _mm256_storeu_pd(squares, square);
  for (int lane = 0; lane < 4; lane++) result->absolute = fmax(result->absolute, lanes[lane]);
  result->square += (squares[0] + squares[1]) + (squares[2] + squares[3]);
  result->differing += differing;
  result->relative = fmax(result->relative, relative);
  sdk_compare_f32_plain(left + i * 4, right + i * 4, count - i, result);
}
#endif
