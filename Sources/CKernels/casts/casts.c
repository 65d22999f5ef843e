#include "casts.h"

#include <string.h>

// The smallest magnitude that rounds to an infinite half: 65520, halfway to 65536, which the type
// lacks; ties to even round up.
#define F16_OVERFLOW 0x477FF000u
#define F32_INFINITY 0x7F800000u
// Halfway from the largest bfloat16 to the next power of two, which the type lacks.
#define BF16_OVERFLOW 0x7F7F8000u
#define BF16_LARGEST 0x7F7F0000u
// 65504, the largest half.
#define F16_LARGEST 0x477FE000u

static uint32_t load32(const void *source, size_t index) {
  uint32_t bits;
  memcpy(&bits, (const char *)source + index * 4, 4);
  return bits;
}

static uint16_t load16(const void *source, size_t index) {
  uint16_t bits;
  memcpy(&bits, (const char *)source + index * 2, 2);
  return bits;
}

static void store32(void *target, size_t index, uint32_t bits) {
  memcpy((char *)target + index * 4, &bits, 4);
}

static void store16(void *target, size_t index, uint16_t bits) {
  memcpy((char *)target + index * 2, &bits, 2);
}

// MARK: One element

static uint32_t f16_to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16;
  uint32_t exponent = half >> 10 & 0x1F;
  uint32_t fraction = half & 0x3FF;
  if (exponent == 0x1F) {
    uint32_t quiet = fraction ? 0x400000 : 0;
    return sign | F32_INFINITY | fraction << 13 | quiet;
  }
  if (exponent == 0) {
    if (fraction == 0) return sign;
    // Subnormal: fraction * 2^-24, normalized so that its leading one is implied.
    uint32_t shift = (uint32_t)__builtin_clz(fraction) - 21;
    return sign | (113 - shift) << 23 | (fraction << shift & 0x3FF) << 13;
  }
  return sign | (exponent + 112) << 23 | fraction << 13;
}

// Drops the lowest `shift` bits, rounding to nearest, ties to even.
static uint32_t round_shift(uint32_t value, uint32_t shift) {
  uint32_t odd = value >> shift & 1;
  return (value + (1u << (shift - 1)) - 1 + odd) >> shift;
}

static uint16_t f32_to_f16(uint32_t bits) {
  uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > F32_INFINITY) return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x3FF));
  if (magnitude >= F16_OVERFLOW) return (uint16_t)(sign | 0x7C00);
  uint32_t exponent = magnitude >> 23;
  if (exponent >= 113) return (uint16_t)(sign | round_shift(magnitude - (112u << 23), 13));
  // Everything below half of the smallest subnormal (2^-25) becomes zero; the shift stays below 25.
  if (exponent < 102) return sign;
  uint32_t fraction = (magnitude & 0x7FFFFF) | 0x800000;
  return (uint16_t)(sign | round_shift(fraction, 126 - exponent));
}

static uint16_t f32_to_bf16(uint32_t bits) {
  if ((bits & 0x7FFFFFFF) > F32_INFINITY) return (uint16_t)(bits >> 16 | 0x40);
  // Near the top this carries into infinity, as rounding must.
  return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// Whether a finite F32 is at least as large as the first one that becomes infinite in a smaller type.
static int overflows(uint32_t bits, uint32_t first) {
  uint32_t magnitude = bits & 0x7FFFFFFF;
  return magnitude >= first && magnitude < F32_INFINITY;
}

static size_t count_overflow(const void *source, size_t count, uint32_t first) {
  size_t found = 0;
  for (size_t i = 0; i < count; i++) found += (size_t)overflows(load32(source, i), first);
  return found;
}

static void saturate(void *values, size_t count, uint32_t first, uint32_t largest) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = load32(values, i);
    if (overflows(bits, first)) store32(values, i, (bits & 0x80000000) | largest);
  }
}

// MARK: Plain versions

void sdk_cast_f16_f32_plain(const void *source, void *target, size_t count) {
  for (size_t i = 0; i < count; i++) store32(target, i, f16_to_f32(load16(source, i)));
}

void sdk_cast_f32_f16_plain(const void *source, void *target, size_t count) {
  for (size_t i = 0; i < count; i++) store16(target, i, f32_to_f16(load32(source, i)));
}

void sdk_cast_bf16_f32_plain(const void *source, void *target, size_t count) {
  for (size_t i = 0; i < count; i++) store32(target, i, (uint32_t)load16(source, i) << 16);
}

void sdk_cast_f32_bf16_plain(const void *source, void *target, size_t count) {
  for (size_t i = 0; i < count; i++) store16(target, i, f32_to_bf16(load32(source, i)));
}

size_t sdk_count_f16_overflow_plain(const void *source, size_t count) {
  return count_overflow(source, count, F16_OVERFLOW);
}

void sdk_saturate_f16(void *values, size_t count) {
  saturate(values, count, F16_OVERFLOW, F16_LARGEST);
}

// MARK: Double precision

// Compilers vectorize these loops; float64 is rare.

static double load_double(const void *source, size_t index) {
  double value;
  memcpy(&value, (const char *)source + index * 8, 8);
  return value;
}

static uint32_t f64_to_f32(double value) {
  float single = (float)value;
  uint32_t bits;
  memcpy(&bits, &single, 4);
  return bits;
}

static int overflows_f32(double value) {
  return __builtin_isfinite(value) && (f64_to_f32(value) & 0x7FFFFFFF) == F32_INFINITY;
}

// Towards zero, with the last bit set if anything was lost.
static uint32_t f64_to_f32_odd(double value) {
  uint32_t bits = f64_to_f32(value);
  if (value != value) return bits;
  float single;
  memcpy(&single, &bits, 4);
  if ((double)single == value) return bits;
  // Rounded away from zero: one step back. The bits of a magnitude count its steps.
  if (__builtin_fabs((double)single) > __builtin_fabs(value)) bits -= 1;
  return bits | 1;
}

void sdk_cast_f64_f32(const void *source, void *target, size_t count) {
  for (size_t i = 0; i < count; i++) store32(target, i, f64_to_f32(load_double(source, i)));
}

void sdk_cast_f64_f32_odd(const void *source, void *target, size_t count) {
  for (size_t i = 0; i < count; i++) store32(target, i, f64_to_f32_odd(load_double(source, i)));
}

size_t sdk_count_f32_overflow(const void *source, size_t count) {
  size_t overflows = 0;
  for (size_t i = 0; i < count; i++) overflows += (size_t)overflows_f32(load_double(source, i));
  return overflows;
}

void sdk_saturate_f32(const void *source, void *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!overflows_f32(load_double(source, i))) continue;
    store32(values, i, (load32(values, i) & 0x80000000) | (F32_INFINITY - 1));
  }
}

size_t sdk_count_bf16_overflow(const void *source, size_t count) {
  return count_overflow(source, count, BF16_OVERFLOW);
}

void sdk_saturate_bf16(void *values, size_t count) {
  saturate(values, count, BF16_OVERFLOW, BF16_LARGEST);
}

// MARK: Fast versions

typedef void (*cast)(const void *source, void *target, size_t count);
typedef size_t (*counter)(const void *source, size_t count);

static cast f16_f32 = sdk_cast_f16_f32_plain;
static cast f32_f16 = sdk_cast_f32_f16_plain;
static cast bf16_f32 = sdk_cast_bf16_f32_plain;
static cast f32_bf16 = sdk_cast_f32_bf16_plain;
static counter f16_overflow = sdk_count_f16_overflow_plain;

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,f16c")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl")))
#define AT(pointer, index, width) ((const void *)((const char *)(pointer) + (index) * (width)))
#define TO(pointer, index, width) ((void *)((char *)(pointer) + (index) * (width)))

AVX2 static void f16_f32_avx2(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m128i half = _mm_loadu_si128(AT(source, i, 2));
    _mm256_storeu_ps(TO(target, i, 4), _mm256_cvtph_ps(half));
  }
  sdk_cast_f16_f32_plain(AT(source, i, 2), TO(target, i, 4), count - i);
}

AVX2 static void f32_f16_avx2(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m256 single = _mm256_loadu_ps(AT(source, i, 4));
    _mm_storeu_si128(TO(target, i, 2), _mm256_cvtps_ph(single, _MM_FROUND_TO_NEAREST_INT));
  }
  sdk_cast_f32_f16_plain(AT(source, i, 4), TO(target, i, 2), count - i);
}

AVX2 static void bf16_f32_avx2(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(AT(source, i, 2)));
    _mm256_storeu_si256(TO(target, i, 4), _mm256_slli_epi32(wide, 16));
  }
  sdk_cast_bf16_f32_plain(AT(source, i, 2), TO(target, i, 4), count - i);
}

// vcvtneps2bf16 is not used: it flushes subnormals to zero.
AVX2 static __m256i f32_bf16_lanes_avx2(__m256i bits) {
  __m256i high = _mm256_srli_epi32(bits, 16);
  __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
  __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
  __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
  __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
  __m256i nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(F32_INFINITY));
  __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(rounded, quiet, nan);
}

AVX2 static void f32_bf16_avx2(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m256i low = f32_bf16_lanes_avx2(_mm256_loadu_si256(AT(source, i, 4)));
    __m256i high = f32_bf16_lanes_avx2(_mm256_loadu_si256(AT(source, i + 8, 4)));
    // Packing works within 128-bit lanes; the permutation puts the quarters back in order.
    __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xD8);
    _mm256_storeu_si256(TO(target, i, 2), packed);
  }
  sdk_cast_f32_bf16_plain(AT(source, i, 4), TO(target, i, 2), count - i);
}

AVX2 static size_t f16_overflow_avx2(const void *source, size_t count) {
  size_t i = 0, overflows = 0;
  for (; i + 8 <= count; i += 8) {
    __m256i bits = _mm256_loadu_si256(AT(source, i, 4));
    __m256i magnitude = _mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF));
    __m256i large = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(F16_OVERFLOW - 1));
    __m256i finite = _mm256_cmpgt_epi32(_mm256_set1_epi32(F32_INFINITY), magnitude);
    int lanes = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_and_si256(large, finite)));
    overflows += (size_t)__builtin_popcount((unsigned)lanes);
  }
  return overflows + sdk_count_f16_overflow_plain(AT(source, i, 4), count - i);
}

AVX512 static void f16_f32_avx512(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m256i half = _mm256_loadu_si256(AT(source, i, 2));
    _mm512_storeu_ps(TO(target, i, 4), _mm512_cvtph_ps(half));
  }
  sdk_cast_f16_f32_plain(AT(source, i, 2), TO(target, i, 4), count - i);
}

AVX512 static void f32_f16_avx512(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m512 single = _mm512_loadu_ps(AT(source, i, 4));
    _mm256_storeu_si256(TO(target, i, 2), _mm512_cvtps_ph(single, _MM_FROUND_TO_NEAREST_INT));
  }
  sdk_cast_f32_f16_plain(AT(source, i, 4), TO(target, i, 2), count - i);
}

AVX512 static void bf16_f32_avx512(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(AT(source, i, 2)));
    _mm512_storeu_si512(TO(target, i, 4), _mm512_slli_epi32(wide, 16));
  }
  sdk_cast_bf16_f32_plain(AT(source, i, 2), TO(target, i, 4), count - i);
}

AVX512 static void f32_bf16_avx512(const void *source, void *target, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    __m512i bits = _mm512_loadu_si512(AT(source, i, 4));
    __m512i high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, bias), 16);
    __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
    __mmask16 nan = _mm512_cmpgt_epu32_mask(magnitude, _mm512_set1_epi32(F32_INFINITY));
    __m512i result = _mm512_mask_or_epi32(rounded, nan, high, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256(TO(target, i, 2), _mm512_cvtepi32_epi16(result));
  }
  sdk_cast_f32_bf16_plain(AT(source, i, 4), TO(target, i, 2), count - i);
}

AVX512 static size_t f16_overflow_avx512(const void *source, size_t count) {
  size_t i = 0, overflows = 0;
  for (; i + 16 <= count; i += 16) {
    __m512i bits = _mm512_loadu_si512(AT(source, i, 4));
    __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
    __mmask16 large = _mm512_cmpge_epu32_mask(magnitude, _mm512_set1_epi32(F16_OVERFLOW));
    __mmask16 lanes =
        _mm512_mask_cmplt_epu32_mask(large, magnitude, _mm512_set1_epi32(F32_INFINITY));
    overflows += (size_t)__builtin_popcount((unsigned)lanes);
  }
  return overflows + sdk_count_f16_overflow_plain(AT(source, i, 4), count - i);
}

// Runs before main, so that the table never changes while threads read it.
__attribute__((constructor)) static void choose_casts(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) {
    f16_f32 = f16_f32_avx2;
    f32_f16 = f32_f16_avx2;
    bf16_f32 = bf16_f32_avx2;
    f32_bf16 = f32_bf16_avx2;
    f16_overflow = f16_overflow_avx2;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    f16_f32 = f16_f32_avx512;
    f32_f16 = f32_f16_avx512;
    bf16_f32 = bf16_f32_avx512;
    f32_bf16 = f32_bf16_avx512;
    f16_overflow = f16_overflow_avx512;
  }
}
#endif

void sdk_cast_f16_f32(const void *source, void *target, size_t count) {
  f16_f32(source, target, count);
}

void sdk_cast_f32_f16(const void *source, void *target, size_t count) {
  f32_f16(source, target, count);
}

void sdk_cast_bf16_f32(const void *source, void *target, size_t count) {
  bf16_f32(source, target, count);
}

void sdk_cast_f32_bf16(const void *source, void *target, size_t count) {
  f32_bf16(source, target, count);
}

size_t sdk_count_f16_overflow(const void *source, size_t count) {
  return f16_overflow(source, count);
}
