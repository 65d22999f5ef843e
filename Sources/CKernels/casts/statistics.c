// Statistics of values: the plain version, the other number types, and the choice of the version.
#include "casts/sums.h"

#include <stdlib.h>

#include "casts.h"
#include "kernels.h"

size_t sdk_number_size(sdk_number type) {
  switch (type) {
    case SDK_NUMBER_F64:
    case SDK_NUMBER_I64:
    case SDK_NUMBER_U64: return 8;
    case SDK_NUMBER_F32:
    case SDK_NUMBER_I32:
    case SDK_NUMBER_U32: return 4;
    default: return 2;
  }
}

/// Values converted to F32 at a time.
#define PART 256

static void widen(const void *values, sdk_number type, size_t count, float *result) {
  switch (type) {
    case SDK_NUMBER_F16: sdk_cast_f16_f32_plain(values, result, count); break;
    case SDK_NUMBER_BF16: sdk_cast_bf16_f32_plain(values, result, count); break;
    default: memcpy(result, values, count * 4);
  }
}

static void sum_value(double value, sdk_sums *sums) {
  const double distance = value - sums->pivot;
  sums->finite++;
  sums->sum += distance;
  sums->square += distance * distance;
  sums->minimum = value < sums->minimum ? value : sums->minimum;
  sums->maximum = value > sums->maximum ? value : sums->maximum;
}

void sdk_sum_plain(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram) {
  float part[PART];
  for (size_t start = 0; start < count; start += PART) {
    const size_t n = count - start < PART ? count - start : PART;
    widen((const char *)values + start * sdk_number_size(type), type, n, part);
    for (size_t i = 0; i < n; i++) {
      uint32_t bits;
      memcpy(&bits, &part[i], 4);
      const uint32_t magnitude = bits & MAGNITUDE;
      if (histogram) histogram[bits >> HISTOGRAM_SHIFT]++;
      sums->zeros += magnitude == 0;
      sums->f16_underflows += magnitude != 0 && magnitude <= F16_VANISHES;
      if (magnitude >= INFINITE) {
        sums->nans += magnitude > INFINITE;
        sums->infinities += magnitude == INFINITE;
        continue;
      }
      sums->f16_overflows += fabsf(part[i]) >= (float)F16_OVERFLOWS;
      sum_value(part[i], sums);
    }
  }
}

/// F64, which is rare: the same, value by value. The histogram takes values as F32.
static void sum_f64(const void *values, size_t count, sdk_sums *sums, uint32_t *histogram) {
  for (size_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, (const char *)values + i * 8, 8);
    if (histogram) {
      const float single = (float)value;
      uint32_t bits;
      memcpy(&bits, &single, 4);
      histogram[bits >> HISTOGRAM_SHIFT]++;
    }
    if (!isfinite(value)) {
      sums->nans += isnan(value) != 0;
      sums->infinities += isinf(value) != 0;
      continue;
    }
    const double magnitude = fabs(value);
    sums->zeros += magnitude == 0;
    sums->f16_underflows += magnitude != 0 && magnitude <= 0x1p-25;
    sums->f16_overflows += magnitude >= F16_OVERFLOWS;
    sum_value(value, sums);
  }
}

// Integers have neither NaN nor infinity, nor a cast to F16.
#define SUM_INTEGERS(name, integer)                                                            \
  static void name(const void *values, size_t count, sdk_sums *sums, uint32_t *histogram) {     \
    for (size_t i = 0; i < count; i++) {                                                       \
      integer value;                                                                           \
      memcpy(&value, (const char *)values + i * sizeof value, sizeof value);                   \
      sums->zeros += value == 0;                                                               \
      sum_value((double)value, sums);                                                          \
      if (histogram) {                                                                         \
        const float single = (float)value;                                                     \
        uint32_t bits;                                                                         \
        memcpy(&bits, &single, 4);                                                             \
        histogram[bits >> HISTOGRAM_SHIFT]++;                                                  \
      }                                                                                        \
    }                                                                                          \
  }

SUM_INTEGERS(sum_i16, int16_t)
SUM_INTEGERS(sum_u16, uint16_t)
SUM_INTEGERS(sum_i32, int32_t)
SUM_INTEGERS(sum_u32, uint32_t)
SUM_INTEGERS(sum_i64, int64_t)
SUM_INTEGERS(sum_u64, uint64_t)

static double value_at(const void *values, sdk_number type, size_t i) {
  const char *at = (const char *)values + i * sdk_number_size(type);
  float single;
#define RETURN(number)              \
  {                                 \
    number value;                   \
    memcpy(&value, at, sizeof value); \
    return (double)value;           \
  }
  switch (type) {
    case SDK_NUMBER_F64: RETURN(double)
    case SDK_NUMBER_I16: RETURN(int16_t)
    case SDK_NUMBER_U16: RETURN(uint16_t)
    case SDK_NUMBER_I32: RETURN(int32_t)
    case SDK_NUMBER_U32: RETURN(uint32_t)
    case SDK_NUMBER_I64: RETURN(int64_t)
    case SDK_NUMBER_U64: RETURN(uint64_t)
    default: widen(at, type, 1, &single); return single;
  }
#undef RETURN
}

/// The mean of F64 values whose sum of distances overflows F64: a second pass over values scaled by
/// 2^-64, whose sum cannot overflow.
static double scaled_mean(const void *values, size_t count, const sdk_sums *sums) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) {
    const double value = value_at(values, SDK_NUMBER_F64, i);
    if (isfinite(value)) sum += value * 0x1p-64;
  }
  // Rounding must not make a mean of the largest values overflow F64.
  const double mean = sum / (double)sums->finite * 0x1p64;
  return fmin(fmax(mean, sums->minimum), sums->maximum);
}

static sdk_summing summing(void) {
  switch (sdk_isa_current()) {
#if defined(__x86_64__)
    case SDK_AVX512: return sdk_sum_avx512;
    // Halves are widened with F16C, which every CPU with AVX2 has but no rule requires.
    case SDK_AVX2: return __builtin_cpu_supports("f16c") ? sdk_sum_avx2 : sdk_sum_plain;
#endif
    default: return sdk_sum_plain;
  }
}

static void sum_singles(
    const void *values, sdk_number type, size_t count, sdk_sums *sums, uint32_t *histogram) {
  const sdk_summing sum = summing();
  uint32_t *copies =
      histogram ? calloc(SDK_HISTOGRAM_BINS * HISTOGRAM_COPIES, sizeof *copies) : NULL;
  if (copies == NULL) {
    // Without memory for the copies, use the plain version, which needs none.
    (histogram ? sdk_sum_plain : sum)(values, type, count, sums, histogram);
    return;
  }
  sum(values, type, count, sums, copies);
  for (size_t bin = 0; bin < SDK_HISTOGRAM_BINS; bin++)
    for (size_t copy = 0; copy < HISTOGRAM_COPIES; copy++)
      histogram[bin] += copies[copy * SDK_HISTOGRAM_BINS + bin];
  free(copies);
}

void sdk_statistics_of(
    const void *values, sdk_number type, size_t count, sdk_statistics *result,
    uint32_t *histogram) {
  sdk_sums sums = {.minimum = INFINITY, .maximum = -INFINITY};
  for (size_t i = 0; i < count; i++) {
    const double value = value_at(values, type, i);
    if (!isfinite(value)) continue;
    sums.pivot = value;
    break;
  }
  switch (type) {
    case SDK_NUMBER_F64: sum_f64(values, count, &sums, histogram); break;
    case SDK_NUMBER_I16: sum_i16(values, count, &sums, histogram); break;
    case SDK_NUMBER_U16: sum_u16(values, count, &sums, histogram); break;
    case SDK_NUMBER_I32: sum_i32(values, count, &sums, histogram); break;
    case SDK_NUMBER_U32: sum_u32(values, count, &sums, histogram); break;
    case SDK_NUMBER_I64: sum_i64(values, count, &sums, histogram); break;
    case SDK_NUMBER_U64: sum_u64(values, count, &sums, histogram); break;
    default: sum_singles(values, type, count, &sums, histogram);
  }
  *result = (sdk_statistics){
    .count = count, .finite = sums.finite, .zeros = sums.zeros, .nans = sums.nans,
    .infinities = sums.infinities, .f16_overflows = sums.f16_overflows,
    .f16_underflows = sums.f16_underflows,
  };
  if (sums.finite == 0) return;
  const double n = (double)sums.finite, shift = sums.sum / n;
  // Adding zero turns a negative zero into a positive one.
  result->minimum = sums.minimum + 0.0;
  result->maximum = sums.maximum + 0.0;
  result->mean =
      isfinite(sums.sum) ? sums.pivot + shift : scaled_mean(values, count, &sums);
  const double square = sums.square - sums.sum * shift;
  result->square = isfinite(sums.square) ? fmax(square, 0) : INFINITY;
}

void sdk_count_bytes(const void *bytes, size_t count, size_t counts[256]) {
  // Four tables, so that equal neighbors do not wait for each other.
  size_t tables[4][256];
  memset(tables, 0, sizeof tables);
  const unsigned char *at = bytes;
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t word;
    memcpy(&word, at + i, 8);
    for (int b = 0; b < 8; b++) tables[b & 3][word >> (8 * b) & 0xFF]++;
  }
  for (; i < count; i++) tables[0][at[i]]++;
  for (int b = 0; b < 256; b++)
    counts[b] += tables[0][b] + tables[1][b] + tables[2][b] + tables[3][b];
}
