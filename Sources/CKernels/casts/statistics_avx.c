// Statistics of F32, F16 and BF16 in AVX2 and AVX-512.
//
// One comparison detects a vector with values that are not plain numbers: magnitudes that overflow
// F16, infinities and NaN are all at or above 65520.
#if defined(__x86_64__)
#include <immintrin.h>

#include "casts/sums.h"

#define INLINE static inline __attribute__((always_inline))
#define RARE(condition) __builtin_expect(!!(condition), 0)
/// The bits of 65520 as F32.
#define LARGE 0x477FF000u

/// Counts lanes in the copies of a histogram, neighbors in different ones.
INLINE void count_bins(const uint32_t *bins, size_t count, uint32_t *histogram) {
  for (size_t i = 0; i < count; i++)
    histogram[(i % HISTOGRAM_COPIES) * SDK_HISTOGRAM_BINS + bins[i]]++;
}

// MARK: AVX-512

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

AVX512 INLINE __m512i load_512(const char *at, sdk_number type, __mmask16 lanes) {
  switch (type) {
    case SDK_NUMBER_F16:
      return _mm512_castps_si512(_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, at)));
    case SDK_NUMBER_BF16:
      return _mm512_slli_epi32(
          _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, at)), 16);
    default: return _mm512_maskz_loadu_epi32(lanes, at);
  }
}

typedef struct {
  __m512d sum[2], square[2];
  __m512 minimum, maximum;
  size_t zeros, vanishing, overflows, nans, infinities;
} sums_512;

AVX512 INLINE void add_512(
    __m512i bits, __mmask16 lanes, __m512d pivot, sums_512 *s, uint32_t *histogram) {
  const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32((int)MAGNITUDE));
  const __mmask16 large =
      _mm512_mask_cmpge_epu32_mask(lanes, magnitude, _mm512_set1_epi32((int)LARGE));
  __mmask16 finite = lanes;
  if (RARE(large)) {
    const __m512i infinite = _mm512_set1_epi32((int)INFINITE);
    const __mmask16 infinities = _mm512_mask_cmpeq_epu32_mask(large, magnitude, infinite);
    const __mmask16 nans = _mm512_mask_cmpgt_epu32_mask(large, magnitude, infinite);
    finite = (__mmask16)(lanes & ~(infinities | nans));
    s->infinities += (size_t)__builtin_popcount(infinities);
    s->nans += (size_t)__builtin_popcount(nans);
    s->overflows += (size_t)__builtin_popcount((unsigned)(large & finite));
  }
  s->zeros += (size_t)__builtin_popcount(_mm512_mask_testn_epi32_mask(lanes, magnitude, magnitude));
  s->vanishing += (size_t)__builtin_popcount(
      _mm512_mask_cmple_epu32_mask(lanes, magnitude, _mm512_set1_epi32((int)F16_VANISHES)));
  const __m512 x = _mm512_castsi512_ps(bits);
  s->minimum = _mm512_mask_min_ps(s->minimum, finite, s->minimum, x);
  s->maximum = _mm512_mask_max_ps(s->maximum, finite, s->maximum, x);
  const __m256 halves[2] = {_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)};
  for (int h = 0; h < 2; h++) {
    const __m512d distance = _mm512_maskz_sub_pd(
        (__mmask8)(finite >> (8 * h)), _mm512_cvtps_pd(halves[h]), pivot);
    s->sum[h] = _mm512_add_pd(s->sum[h], distance);
    s->square[h] = _mm512_fmadd_pd(distance, distance, s->square[h]);
  }
  if (histogram) {
    uint32_t bins[16];
    _mm512_storeu_si512(bins, _mm512_srli_epi32(bits, HISTOGRAM_SHIFT));
    count_bins(bins, lanes == 0xFFFF ? 16 : (size_t)__builtin_popcount(lanes), histogram);
  }
}

AVX512 INLINE void sum_512(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram) {
  const size_t size = type == SDK_NUMBER_F32 ? 4 : 2;
  const char *at = values;
  const __m512d pivot = _mm512_set1_pd(sums->pivot);
  sums_512 s = {
    .minimum = _mm512_set1_ps(INFINITY), .maximum = _mm512_set1_ps(-INFINITY),
    .sum = {_mm512_setzero_pd(), _mm512_setzero_pd()},
    .square = {_mm512_setzero_pd(), _mm512_setzero_pd()},
  };
  size_t i = 0;
  for (; i + 16 <= count; i += 16)
    add_512(load_512(at + i * size, type, 0xFFFF), 0xFFFF, pivot, &s, histogram);
  if (i < count) {
    const __mmask16 lanes = (__mmask16)((1u << (count - i)) - 1);
    add_512(load_512(at + i * size, type, lanes), lanes, pivot, &s, histogram);
  }
  sums->sum += _mm512_reduce_add_pd(_mm512_add_pd(s.sum[0], s.sum[1]));
  sums->square += _mm512_reduce_add_pd(_mm512_add_pd(s.square[0], s.square[1]));
  sums->minimum = fmin(sums->minimum, _mm512_reduce_min_ps(s.minimum));
  sums->maximum = fmax(sums->maximum, _mm512_reduce_max_ps(s.maximum));
  sums->finite += count - s.nans - s.infinities;
  sums->nans += s.nans;
  sums->infinities += s.infinities;
  sums->zeros += s.zeros;
  sums->f16_underflows += s.vanishing - s.zeros;
  sums->f16_overflows += s.overflows;
}

/// One loop for each type, with a histogram and without.
#define EACH_TYPE(sum)                                                                  \
  switch (type) {                                                                       \
    case SDK_NUMBER_F16:                                                                \
      histogram ? sum(values, SDK_NUMBER_F16, count, sums, histogram)                   \
                : sum(values, SDK_NUMBER_F16, count, sums, NULL);                       \
      break;                                                                            \
    case SDK_NUMBER_BF16:                                                               \
      histogram ? sum(values, SDK_NUMBER_BF16, count, sums, histogram)                  \
                : sum(values, SDK_NUMBER_BF16, count, sums, NULL);                      \
      break;                                                                            \
    default:                                                                            \
      histogram ? sum(values, SDK_NUMBER_F32, count, sums, histogram)                   \
                : sum(values, SDK_NUMBER_F32, count, sums, NULL);                       \
  }

AVX512 void sdk_sum_avx512(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram) {
  EACH_TYPE(sum_512)
}

// MARK: AVX2

#define AVX2 __attribute__((target("avx2,fma,f16c")))

AVX2 INLINE __m256i load_256(const char *at, sdk_number type) {
  switch (type) {
    case SDK_NUMBER_F16:
      return _mm256_castps_si256(_mm256_cvtph_ps(_mm_loadu_si128((const void *)at)));
    case SDK_NUMBER_BF16:
      return _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)at)), 16);
    default: return _mm256_loadu_si256((const void *)at);
  }
}

AVX2 INLINE double add_lanes_256(__m256d v) {
  double lanes[4];
  _mm256_storeu_pd(lanes, v);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

AVX2 INLINE void sum_256(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram) {
  const size_t size = type == SDK_NUMBER_F32 ? 4 : 2;
  const char *at = values;
  const __m256d pivot = _mm256_set1_pd(sums->pivot);
  __m256d sum[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
  __m256d square[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
  __m256 minimum = _mm256_set1_ps(INFINITY), maximum = _mm256_set1_ps(-INFINITY);
  // Lanes of -1 for each value found, counted in 32 bits: the callers' arrays are far below 2^35.
  __m256i zeros = _mm256_setzero_si256(), vanishing = _mm256_setzero_si256();
  size_t i = 0, plain = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256i bits = load_256(at + i * size, type);
    const __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32((int)MAGNITUDE));
    const __m256i large = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32((int)LARGE - 1));
    if (RARE(!_mm256_testz_si256(large, large))) {
      float lanes[8];
      _mm256_storeu_ps(lanes, _mm256_castsi256_ps(bits));
      sdk_sum_plain(lanes, SDK_NUMBER_F32, 8, sums, histogram);
      continue;
    }
    plain += 8;
    zeros = _mm256_add_epi32(zeros, _mm256_cmpeq_epi32(magnitude, _mm256_setzero_si256()));
    vanishing = _mm256_add_epi32(
        vanishing, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)F16_VANISHES + 1), magnitude));
    const __m256 x = _mm256_castsi256_ps(bits);
    minimum = _mm256_min_ps(minimum, x);
    maximum = _mm256_max_ps(maximum, x);
    const __m128 halves[2] = {_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)};
    for (int h = 0; h < 2; h++) {
      const __m256d distance = _mm256_sub_pd(_mm256_cvtps_pd(halves[h]), pivot);
      sum[h] = _mm256_add_pd(sum[h], distance);
      square[h] = _mm256_fmadd_pd(distance, distance, square[h]);
    }
    if (histogram) {
      uint32_t bins[8];
      _mm256_storeu_si256((void *)bins, _mm256_srli_epi32(bits, HISTOGRAM_SHIFT));
      count_bins(bins, 8, histogram);
    }
  }
  uint32_t zero_lanes[8], vanishing_lanes[8];
  float minima[8], maxima[8];
  _mm256_storeu_si256((void *)zero_lanes, zeros);
  _mm256_storeu_si256((void *)vanishing_lanes, vanishing);
  _mm256_storeu_ps(minima, minimum);
  _mm256_storeu_ps(maxima, maximum);
  for (int lane = 0; lane < 8; lane++) {
    const uint32_t none = 0u - zero_lanes[lane];
    sums->zeros += none;
    sums->f16_underflows += (0u - vanishing_lanes[lane]) - none;
    sums->minimum = fmin(sums->minimum, minima[lane]);
    sums->maximum = fmax(sums->maximum, maxima[lane]);
  }
  sums->finite += plain;
  sums->sum += add_lanes_256(_mm256_add_pd(sum[0], sum[1]));
  sums->square += add_lanes_256(_mm256_add_pd(square[0], square[1]));
  sdk_sum_plain(at + i * size, type, count - i, sums, histogram);
}

AVX2 void sdk_sum_avx2(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram) {
  EACH_TYPE(sum_256)
}
#endif
