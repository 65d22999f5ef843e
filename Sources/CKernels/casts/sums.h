// Definitions shared by the versions of the statistics.
#pragma once

#include <math.h>
#include <string.h>

#include "statistics.h"

#define MAGNITUDE 0x7FFFFFFFu
#define INFINITE 0x7F800000u
/// 2^-25, half of the smallest half: a tie, which rounds to zero, the even one.
#define F16_VANISHES 0x33000000u
/// 65520, the smallest magnitude that rounds to an infinite half.
#define F16_OVERFLOWS 65520.0
#define HISTOGRAM_SHIFT 19
/// Histograms are kept several times over, so that equal neighbors do not wait for each other.
#define HISTOGRAM_COPIES 4

/// Sums of distances from `pivot`, one of the values: their squares stay within `count` times the
/// variance, so that nothing cancels.
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
