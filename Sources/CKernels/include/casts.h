// Casts between the floating-point types of checkpoints.
//
// Every function reads and writes arrays of `count` little-endian elements at any alignment, rounds
// to nearest with ties to even, keeps signed zeros, infinities and subnormals, and makes a NaN quiet
// with its sign and the upper bits of its payload. Source and target must not overlap.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// IEEE half precision to float32; exact.
void sdk_cast_f16_f32(const void *source, void *target, size_t count);

/// Single precision to IEEE half precision; magnitudes from 65520 up become infinite.
void sdk_cast_f32_f16(const void *source, void *target, size_t count);

/// bfloat16 to float32; exact.
void sdk_cast_bf16_f32(const void *source, void *target, size_t count);

/// Single precision to bfloat16.
void sdk_cast_f32_bf16(const void *source, void *target, size_t count);

/// Double precision to float32; magnitudes beyond the largest single by half a step become
/// infinite.
void sdk_cast_f64_f32(const void *source, void *target, size_t count);

/// Double precision to float32, rounded to odd: what is not exact becomes the neighbor whose
/// last bit is 1. Rounding that to a half or a bfloat16 gives what rounding the double once gives.
/// Finite values stay finite.
///
/// Source: Boldo and Melquiond, "Emulation of FMA and Correctly Rounded Sums: Proved Algorithms Using
/// Rounding to Odd" (2008).
void sdk_cast_f64_f32_odd(const void *source, void *target, size_t count);

/// The number of finite float64 values without a finite float32.
size_t sdk_count_f32_overflow(const void *source, size_t count);

/// How many finite single-precision values have no finite bfloat16.
size_t sdk_count_bf16_overflow(const void *source, size_t count);

/// Moves the values that `sdk_count_bf16_overflow` counts to the largest bfloat16, in place.
void sdk_saturate_bf16(void *values, size_t count);

/// Moves the single-precision values that are infinite where `source` is finite to the largest single.
void sdk_saturate_f32(const void *source, void *values, size_t count);

/// How many finite single-precision values have no finite half (magnitude from 65520 up).
size_t sdk_count_f16_overflow(const void *source, size_t count);

/// Moves the values that `sdk_count_f16_overflow` counts to the largest half, 65504, in place.
void sdk_saturate_f16(void *values, size_t count);

// The plain versions: the reference that the fast ones must equal bit for bit, and the fallback.
void sdk_cast_f16_f32_plain(const void *source, void *target, size_t count);
void sdk_cast_f32_f16_plain(const void *source, void *target, size_t count);
void sdk_cast_bf16_f32_plain(const void *source, void *target, size_t count);
void sdk_cast_f32_bf16_plain(const void *source, void *target, size_t count);
size_t sdk_count_f16_overflow_plain(const void *source, size_t count);

#ifdef __cplusplus
}
#endif
