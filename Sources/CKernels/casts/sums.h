// What the versions of the statistics share.
#pragma once

#include <math.h>
#include <string.h>

#include "statistics.h"

#define MAGNITUDE 0x7FFFFFFFu
#define INFINITE 0x7F800000u
/// 2^-25, half of the least half: a tie, which goes to the even zero.
#define F16_VANISHES 0x33000000u
/// 65520, the least magnitude that rounds to an infinite half.
#define F16_OVERFLOWS 65520.0
#define HISTOGRAM_SHIFT 19
/// Histograms are kept several times over, so that equal neighbours do not wait for each other.
#define HISTOGRAM_COPIES 4

/// Sums of distances from `pivot`, which is one of the values: their squares stay within `count`
/// times the variance, so that nothing cancels.
typedef struct {
  double pivot, sum, square;
  double minimum, maximum;
  size_t finite, zeros, nans, infinities, f16_overflows, f16_underflows;
} sdk_sums;

/// Compares F32 with F32.
void sdk_compare_f32_plain(const void *a, const void *b, size_t count, sdk_comparison *result);
#if defined(__x86_64__)
void sdk_compare_f32_avx2(const void *a, const void *b, size_t count, sdk_comparison *result);
void sdk_compare_f32_avx512(const void *a, const void *b, size_t count, sdk_comparison *result);
#endif

typedef void (*sdk_summing)(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram);

/// F32, F16 and BF16; histograms are HISTOGRAM_COPIES times as long as the public one.
void sdk_sum_plain(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram);
#if defined(__x86_64__)
void sdk_sum_avx2(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram);
void sdk_sum_avx512(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram);
#endif
