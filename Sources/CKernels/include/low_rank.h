// Adds a product of two thin matrices to a matrix, as in low-rank adapters.
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// rows += factor * up * down, where `rows` is `[count, width]`, `up` `[count, rank]` and `down`
/// `[rank, width]`, all float32 without gaps. The sum over the rank is in order, on top
/// of what is there. Threaded over rows; results do not depend on the number of threads.
void sdk_add_low_rank(
    float *rows, size_t count, size_t width, const float *up, const float *down, size_t rank,
    float factor);

/// The plain version: the reference of the fast one, from which it differs by rounding, and the
/// fallback.
void sdk_add_low_rank_plain(
    float *rows, size_t count, size_t width, const float *up, const float *down, size_t rank,
    float factor);

#ifdef __cplusplus
}
#endif
