#include "checksum.h"

#include <zlib.h>

uint32_t sdk_crc32_plain(uint32_t crc, const void *bytes, size_t count) {
  return count ? (uint32_t)crc32_z(crc, bytes, count) : crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define FOLDING __attribute__((target("pclmul,sse4.1")))

// Independent chains, and the bytes that all of them process at a time.
#define LANES 8
#define BLOCK ((size_t)16 * LANES)

// x^(d+32) and x^(d-32) modulo CRC-32's polynomial, for a distance of d = 1024 and of 128 bits,
// their bits in reverse as the checksum's are, shifted by one.
//
// Source: Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ" (Intel, 2009).
#define FAR_LOW 0x1E88EF372
#define FAR_HIGH 0x14A7FE880
#define NEAR_LOW 0x1751997D0
#define NEAR_HIGH 0x0CCAA009E

/// Folds 16 bytes over the constants' distance into `next`.
FOLDING static inline __m128i fold(__m128i bytes, __m128i constants, __m128i next) {
  __m128i low = _mm_clmulepi64_si128(bytes, constants, 0x00);
  __m128i high = _mm_clmulepi64_si128(bytes, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/// At least a block, in multiples of 16.
FOLDING static uint32_t folded(uint32_t crc, const uint8_t *bytes, size_t count) {
  const __m128i far = _mm_set_epi64x(FAR_HIGH, FAR_LOW);
  const __m128i near = _mm_set_epi64x(NEAR_HIGH, NEAR_LOW);
  __m128i sums[LANES];
  for (int lane = 0; lane < LANES; lane++)
    sums[lane] = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * lane));
  // zlib's checksum is the inverted register.
  sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128((int)~crc));
  size_t done = BLOCK;
  for (; count - done >= BLOCK; done += BLOCK)
    for (int lane = 0; lane < LANES; lane++)
      sums[lane] = fold(
          sums[lane], far,
          _mm_loadu_si128((const __m128i *)(const void *)(bytes + done + 16 * (size_t)lane)));
  __m128i sum = sums[0];
  for (int lane = 1; lane < LANES; lane++) sum = fold(sum, near, sums[lane]);
  for (; done < count; done += 16)
    sum = fold(sum, near, _mm_loadu_si128((const __m128i *)(const void *)(bytes + done)));
  // 16 bytes with the same remainder as all of them; zlib continues from an empty register.
  uint8_t rest[16];
  _mm_storeu_si128((__m128i *)(void *)rest, sum);
  return sdk_crc32_plain(UINT32_MAX, rest, sizeof rest);
}

uint32_t sdk_crc32(uint32_t crc, const void *bytes, size_t count) {
  if (count < BLOCK) return sdk_crc32_plain(crc, bytes, count);
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1"))
    return sdk_crc32_plain(crc, bytes, count);
  size_t whole = count / 16 * 16;
  crc = folded(crc, bytes, whole);
  return sdk_crc32_plain(crc, (const uint8_t *)bytes + whole, count - whole);
}
#else
uint32_t sdk_crc32(uint32_t crc, const void *bytes, size_t count) {
  return sdk_crc32_plain(crc, bytes, count);
}
#endif
