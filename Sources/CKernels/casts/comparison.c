// The comparison of two arrays: the plain version, the other number types, and the choice.
#include "kernels.h"
#include "casts/sums.h"

// long double holds every 64-bit integer on x86-64, and differences of them are exact.
static void compare_value(long double a, long double b, sdk_comparison *result) {
  if (a == b) return;
  if (isnan(a) && isnan(b)) return;
  result->differing++;
  if (!isfinite(a) || !isfinite(b)) {
    result->unlike++;
    return;
  }
  const double absolute = (double)fabsl(a - b);
  const double relative = (double)(fabsl(a - b) / fmaxl(fabsl(a), fabsl(b)));
  result->absolute = fmax(result->absolute, absolute);
  result->relative = fmax(result->relative, relative);
  result->square += absolute * absolute;
}

void sdk_compare_f32_plain(const void *a, const void *b, size_t count, sdk_comparison *result) {
  for (size_t i = 0; i < count; i++) {
    float left, right;
    memcpy(&left, (const char *)a + i * 4, 4);
    memcpy(&right, (const char *)b + i * 4, 4);
    compare_value(left, right, result);
  }
}

static long double value_at(const void *values, sdk_number type, size_t i) {
  const char *at = (const char *)values + i * sdk_number_size(type);
  float single;
#define RETURN(number)                \
  {                                   \
    number value;                     \
    memcpy(&value, at, sizeof value); \
    return value;                     \
  }
  switch (type) {
    case SDK_NUMBER_F32: RETURN(float)
    case SDK_NUMBER_F64: RETURN(double)
    case SDK_NUMBER_I16: RETURN(int16_t)
    case SDK_NUMBER_U16: RETURN(uint16_t)
    case SDK_NUMBER_I32: RETURN(int32_t)
    case SDK_NUMBER_U32: RETURN(uint32_t)
    case SDK_NUMBER_I64: RETURN(int64_t)
    case SDK_NUMBER_U64: RETURN(uint64_t)
    case SDK_NUMBER_F16: sdk_convert_serial(at, SDK_F16, &single, SDK_F32, 1); return single;
    case SDK_NUMBER_BF16: sdk_convert_serial(at, SDK_BF16, &single, SDK_F32, 1); return single;
  }
#undef RETURN
  return 0;
}

/// The type in terms of the casts; -1 if they lack it.
static int cast_type(sdk_number type) {
  switch (type) {
    case SDK_NUMBER_F32: return SDK_F32;
    case SDK_NUMBER_F16: return SDK_F16;
    case SDK_NUMBER_BF16: return SDK_BF16;
    default: return -1;
  }
}

/// Values converted to F32 at a time; two such arrays fit in the L1 cache.
#define PART 2048

void sdk_compare(
    const void *a, sdk_number a_type, const void *b, sdk_number b_type, size_t count,
    sdk_comparison *result) {
  const int a_cast = cast_type(a_type), b_cast = cast_type(b_type);
  if (a_cast < 0 || b_cast < 0) {
    for (size_t i = 0; i < count; i++)
      compare_value(value_at(a, a_type, i), value_at(b, b_type, i), result);
    return;
  }
  void (*compare)(const void *, const void *, size_t, sdk_comparison *) = sdk_compare_f32_plain;
#if defined(__x86_64__)
  if (sdk_isa_current() == SDK_AVX512) compare = sdk_compare_f32_avx512;
  if (sdk_isa_current() == SDK_AVX2) compare = sdk_compare_f32_avx2;
#endif
  float left[PART], right[PART];
  const size_t step = a_cast == SDK_F32 && b_cast == SDK_F32 ? count : PART;
  for (size_t i = 0; i < count; i += step) {
    const size_t n = count - i < step ? count - i : step;
    const void *from = (const char *)a + i * sdk_number_size(a_type);
    const void *to = (const char *)b + i * sdk_number_size(b_type);
    if (a_cast != SDK_F32) {
      sdk_convert_serial(from, (sdk_type)a_cast, left, SDK_F32, n);
      from = left;
    }
    if (b_cast != SDK_F32) {
      sdk_convert_serial(to, (sdk_type)b_cast, right, SDK_F32, n);
      to = right;
    }
    compare(from, to, n, result);
  }
}

int sdk_bytes_differ(const void *a, const void *b, size_t count) { return memcmp(a, b, count); }

void sdk_to_f64(const void *values, sdk_number type, double *result, size_t count) {
  for (size_t i = 0; i < count; i++) result[i] = (double)value_at(values, type, i);
}
