// Vectorized normalization: moments of channels, the resulting factors, and whole rows.
#pragma once

#include "api/kernel_table.h"
#include "vector/functions.h"
#include "vector/values.h"
#include "vector/words.h"

/// Moments of at most WIDTH channels from channel `c` on. Distances from a pivot near the mean
/// are summed in f32 for MOMENT_ROWS rows at a time, those sums in f64.
#define MOMENT_ROWS 64

INLINE void moments_of(
    const void *x, sdk_type type, size_t rows, size_t channels, size_t c, size_t left,
    double *mean, double *square) {
#define AT(r) \
  (left == WIDTH ? get(x, (r) * channels + c, type) \
                 : get_part(x, (r) * channels + c, left, type))
  const size_t probes = rows < 4 ? rows : 4;
  vector pivot = v_set(0);
  for (size_t r = 0; r < probes; r++) pivot = v_add(pivot, AT(r * (rows / probes)));
  pivot = v_mul(pivot, v_set(1.0f / (float)probes));
  double sums[WIDTH] = {0}, squares[WIDTH] = {0};
  for (size_t first = 0; first < rows; first += MOMENT_ROWS) {
    const size_t end = first + MOMENT_ROWS < rows ? first + MOMENT_ROWS : rows;
    vector s0 = v_set(0), s1 = s0, q0 = s0, q1 = s0;
    size_t r = first;
    for (; r + 2 <= end; r += 2) {
      const vector d0 = v_sub(AT(r), pivot), d1 = v_sub(AT(r + 1), pivot);
      s0 = v_add(s0, d0);
      s1 = v_add(s1, d1);
      q0 = v_fma(d0, d0, q0);
      q1 = v_fma(d1, d1, q1);
    }
    if (r < end) {
      const vector d = v_sub(AT(r), pivot);
      s0 = v_add(s0, d);
      q0 = v_fma(d, d, q0);
    }
    float s[WIDTH], q[WIDTH];
    v_store(s, v_add(s0, s1));
    v_store(q, v_add(q0, q1));
    for (size_t i = 0; i < WIDTH; i++) {
      sums[i] += s[i];
      squares[i] += q[i];
    }
  }
#undef AT
  float pivots[WIDTH];
  v_store(pivots, pivot);
  for (size_t i = 0; i < left; i++) {
    const double shift = sums[i] / (double)rows;
    mean[c + i] = pivots[i] + shift;
    const double rest = squares[i] - shift * sums[i];
    // Not fmax, which would turn NaN into 0.
    square[c + i] = rest < 0 ? 0 : rest;
  }
}

INLINE void moments_body(
    const void *x, sdk_type type, size_t rows, size_t channels, double *mean, double *square) {
  size_t c = 0;
  for (; c + WIDTH <= channels; c += WIDTH)
    moments_of(x, type, rows, channels, c, WIDTH, mean, square);
  if (c < channels) moments_of(x, type, rows, channels, c, channels - c, mean, square);
}

VECTOR static void moments(
    const void *x, sdk_type type, size_t rows, size_t channels, double *mean, double *square) {
#define CALL(t) moments_body(x, t, rows, channels, mean, square)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void scale_shift_body(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int silu) {
  for (size_t r = 0; r < rows; r++) {
    const void *from = sdk_at(x, type, r * channels);
    void *to = sdk_at_mutable(y, type, r * channels);
#define BODY(GET, PUT) \
  vector v = v_fma(GET(from, i, type), GET(scale, i, SDK_F32), GET(shift, i, SDK_F32)); \
  if (silu) v = v_function(v, SDK_SILU); \
  PUT(to, i, v, type);
    EACH_VECTOR(channels, BODY);
#undef BODY
  }
}

VECTOR static void scale_shift(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int silu) {
#define CALL(t) \
  if (silu) scale_shift_body(x, y, t, rows, channels, scale, shift, 1); \
  else scale_shift_body(x, y, t, rows, channels, scale, shift, 0)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void layer_norm_body(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
  for (size_t r = 0; r < rows; r++) {
    const void *from = sdk_at(x, type, r * channels);
    void *to = sdk_at_mutable(y, type, r * channels);
    // Two independent sums hide the latency of addition.
    vector sum[2] = {v_set(0), v_set(0)}, square[2] = {v_set(0), v_set(0)};
#define BODY(GET, PUT) sum[i / WIDTH % 2] = v_add(sum[i / WIDTH % 2], GET(from, i, type));
    EACH_VECTOR(channels, BODY);
#undef BODY
    const float mean = v_sum(v_add(sum[0], sum[1])) / (float)channels;
    const vector center = v_set(mean);
    size_t i = 0;
    for (; i + WIDTH <= channels; i += WIDTH) {
      const vector d = v_sub(get(from, i, type), center);
      square[i / WIDTH % 2] = v_fma(d, d, square[i / WIDTH % 2]);
    }
    float total = v_sum(v_add(square[0], square[1]));
    if (i < channels) {
      // Lanes beyond the row would count as zero minus the mean.
      float last[WIDTH];
      v_store(last, v_sub(get_part(from, i, channels - i, type), center));
      for (size_t l = 0; l < channels - i; l++) total += last[l] * last[l];
    }
    const vector rate = v_set((float)(1 / __builtin_elementwise_sqrt((double)total / (double)channels + epsilon)));
#define BODY(GET, PUT) \
  PUT(to, i, \
      v_fma( \
          v_mul(v_sub(GET(from, i, type), center), rate), GET(gamma, i, SDK_F32), \
          GET(beta, i, SDK_F32)), \
      type);
    EACH_VECTOR(channels, BODY);
#undef BODY
  }
}

VECTOR static void layer_norm(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
#define CALL(t) layer_norm_body(x, y, t, rows, channels, epsilon, gamma, beta)
  BY_TYPE(type, CALL)
#undef CALL
}
