// Vectorized elementwise functions and their sums.
#pragma once

#include "api/kernel_table.h"
#include "vector/functions.h"
#include "vector/values.h"
#include "vector/words.h"

/// A few latents' clamp is left to the plain version.
INLINE void activation_body(
    const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
#define BODY(GET, PUT) PUT(y, i, v_function(GET(x, i, type), function), type);
  EACH_VECTOR(count, BODY);
#undef BODY
}

VECTOR static void activation(
    const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
#define CALL(t) \
  if (function == SDK_SILU) activation_body(x, y, t, count, SDK_SILU); \
  else if (function == SDK_GELU) activation_body(x, y, t, count, SDK_GELU); \
  else if (function == SDK_QUICK_GELU) activation_body(x, y, t, count, SDK_QUICK_GELU); \
  else if (function == SDK_RELU) activation_body(x, y, t, count, SDK_RELU); \
  else sdk_plain_kernels.activation(x, y, t, count, function)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void geglu_body(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
  for (size_t r = 0; r < rows; r++) {
    const void *a = sdk_at(x, type, r * 2 * channels);
    const void *b = sdk_at(a, type, channels);
    void *out = sdk_at_mutable(y, type, r * channels);
#define BODY(GET, PUT) \
  PUT(out, i, v_mul(GET(a, i, type), v_function(GET(b, i, type), SDK_GELU)), type);
    EACH_VECTOR(channels, BODY);
#undef BODY
  }
}

VECTOR static void geglu(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
#define CALL(t) geglu_body(x, y, t, rows, channels)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void add_body(const void *a, const void *b, void *y, sdk_type type, size_t count) {
#define BODY(GET, PUT) PUT(y, i, v_add(GET(a, i, type), GET(b, i, type)), type);
  EACH_VECTOR(count, BODY);
#undef BODY
}

VECTOR static void add(const void *a, const void *b, void *y, sdk_type type, size_t count) {
#define CALL(t) add_body(a, b, y, t, count)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void add_row_body(
    const void *x, const float *row, void *y, sdk_type type, size_t channels) {
#define BODY(GET, PUT) PUT(y, i, v_add(GET(x, i, type), GET(row, i, SDK_F32)), type);
  EACH_VECTOR(channels, BODY);
#undef BODY
}

VECTOR static void add_row(const void *x, const float *row, void *y, sdk_type type, size_t channels) {
#define CALL(t) add_row_body(x, row, y, t, channels)
  BY_TYPE(type, CALL)
#undef CALL
}
