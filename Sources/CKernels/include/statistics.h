// Statistics of stored values, and the comparison of two arrays of them.
//
// Arrays contain little-endian numbers at any alignment. Everything runs on the calling thread, at
// the level that sdk_isa_current() returns; levels agree exactly in all counts and extremes, and up
// to rounding in sums.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The types of numbers in arrays. Types of eight bits or fewer are counted by value instead
/// (`sdk_count_bytes`), since 256 counts describe them fully.
typedef enum {
  SDK_NUMBER_F32 = 0,
  SDK_NUMBER_F16 = 1,
  SDK_NUMBER_BF16 = 2,
  SDK_NUMBER_F64 = 3,
  SDK_NUMBER_I16 = 4,
  SDK_NUMBER_U16 = 5,
  SDK_NUMBER_I32 = 6,
  SDK_NUMBER_U32 = 7,
  SDK_NUMBER_I64 = 8,
  SDK_NUMBER_U64 = 9,
} sdk_number;

/// Bytes of one number.
size_t sdk_number_size(sdk_number type);

/// Statistics of an array's values. Extremes, mean and square are of the finite values, and 0 if
/// there are none.
typedef struct {
  size_t count;
  size_t finite;
  size_t zeros;
  size_t nans;
  size_t infinities;
  /// Finite values that a cast to F16 makes infinite: magnitudes from 65520 up.
  size_t f16_overflows;
  /// Nonzero values that a cast to F16 makes zero: magnitudes up to 2^-25.
  size_t f16_underflows;
  double minimum, maximum;
  double mean;
  /// The sum of the squared distances from the mean; infinite if it overflows F64.
  double square;
} sdk_statistics;

/// Bins of a histogram of values as F32: sign, exponent and the first four bits of the fraction,
/// so that sixteen bins make an octave.
#define SDK_HISTOGRAM_BINS 8192

/// The statistics of an array, in one pass. Sums are of distances from one of the values, in
/// double: the square is accurate to count * 2^-52 relative, whatever the mean.
///
/// If `histogram` is not null, each value is also counted in it, in bin `bits of the F32 >> 19`.
void sdk_statistics_of(
    const void *values, sdk_number type, size_t count, sdk_statistics *result,
    uint32_t *histogram);

/// Differences of two arrays of the same length. Values are compared as numbers: zeros of both
/// signs are equal, and so are two NaN. If just one is NaN, or one is infinite and they are not
/// equal, only `unlike` and `differing` count it.
typedef struct {
  size_t differing;
  size_t unlike;
  /// The largest |a - b|, infinite if it overflows F64, and the largest |a - b| / max(|a|, |b|).
  double absolute, relative;
  /// The sum of (a - b)^2; infinite if it overflows F64.
  double square;
} sdk_comparison;

/// Compares `count` numbers, adding to `result` (which begins as zeros); exact to the rounding of
/// the difference in double.
void sdk_compare(
    const void *a, sdk_number a_type, const void *b, sdk_number b_type, size_t count,
    sdk_comparison *result);

/// Zero if two blocks of bytes are equal.
int sdk_bytes_differ(const void *a, const void *b, size_t count);

/// The numbers as F64, rounded if they are long 64-bit integers.
void sdk_to_f64(const void *values, sdk_number type, double *result, size_t count);

/// Adds to `counts[b]` how often each byte value occurs.
void sdk_count_bytes(const void *bytes, size_t count, size_t counts[256]);

#ifdef __cplusplus
}
#endif
