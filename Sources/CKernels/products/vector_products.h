// Vectorized matmuls and direct convolutions, and the interleaving of their weights.
#pragma once

#include "api/kernel_table.h"
#include "api/product_table.h"
#include "vector/functions.h"
#include "vector/values.h"
#include "vector/words.h"

// MARK: Sums

INLINE void start_sums(
    const product_tile *tile, vector sum[PRODUCT_ROWS][PANEL_VECTORS], const int rows) {
  if (tile->accumulate) {
    UNROLL
    for (int r = 0; r < rows; r++)
      UNROLL
      for (int t = 0; t < PANEL_VECTORS; t++)
        sum[r][t] = v_load(tile->c + r * SDK_PANEL + t * WIDTH);
  } else {
    UNROLL
    for (int r = 0; r < rows; r++)
      UNROLL
      for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_set(0);
  }
}

INLINE void store_sums(
    const product_tile *tile, vector sum[PRODUCT_ROWS][PANEL_VECTORS], const int rows) {
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < PANEL_VECTORS; t++)
      v_store(tile->c + r * SDK_PANEL + t * WIDTH, sum[r][t]);
}

INLINE void product_f32(const product_tile *tile, const int rows) {
  vector sum[PRODUCT_ROWS][PANEL_VECTORS];
  start_sums(tile, sum, rows);
  const size_t stride = tile->stride;
  const float *b = tile->b;
  for (size_t tap = 0; tap < tile->taps; tap++) {
    const float *a = (const float *)tile->a + tile->offsets[tap];
    for (size_t k = 0; k < tile->depth; k++, b += SDK_PANEL) {
      vector weight[PANEL_VECTORS];
      UNROLL
      for (int t = 0; t < PANEL_VECTORS; t++) weight[t] = v_load(b + t * WIDTH);
      UNROLL
      for (int r = 0; r < rows; r++) {
        const vector value = v_set(a[(size_t)r * stride + k]);
        UNROLL
        for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_fma(value, weight[t], sum[r][t]);
      }
    }
  }
  store_sums(tile, sum, rows);
}

#ifdef HAS_BF16_PRODUCTS
INLINE void product_bf16(const product_tile *tile, const int rows) {
  vector sum[PRODUCT_ROWS][PANEL_VECTORS];
  start_sums(tile, sum, rows);
  const size_t stride = tile->stride;
  const uint16_t *b = tile->b;
  for (size_t tap = 0; tap < tile->taps; tap++) {
    const uint16_t *a = (const uint16_t *)tile->a + tile->offsets[tap];
    for (size_t k = 0; k < tile->depth; k += 2, b += 2 * SDK_PANEL) {
      pairs weight[PANEL_VECTORS];
      UNROLL
      for (int t = 0; t < PANEL_VECTORS; t++) weight[t] = v_load_pairs(b + 2 * t * WIDTH);
      UNROLL
      for (int r = 0; r < rows; r++) {
        const pairs value = v_set_pair(a + (size_t)r * stride + k);
        UNROLL
        for (int t = 0; t < PANEL_VECTORS; t++)
          sum[r][t] = v_dot(sum[r][t], value, weight[t]);
      }
    }
  }
  store_sums(tile, sum, rows);
}
#endif

// The rows must be a constant for the sums to stay in registers.
VECTOR static void product(const product_tile *tile, sdk_type type, size_t rows) {
#ifdef HAS_BF16_PRODUCTS
#define CASE(n) \
  case n: \
    if (type == SDK_F32) product_f32(tile, n); \
    else product_bf16(tile, n); \
    break;
#else
  if (type != SDK_F32) {
    sdk_plain_products.product(tile, type, rows);
    return;
  }
#define CASE(n) case n: product_f32(tile, n); break;
#endif
  switch (rows) {
    CASE(1) CASE(2) CASE(3)
#if PRODUCT_ROWS > 3
    CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#endif
    default: break;
  }
#undef CASE
}

// MARK: Results

INLINE void finish_body(
    const product_finish *f, const float *c, size_t rows, sdk_type type, const int gated) {
  for (size_t r = 0; r < rows; r++, c += SDK_PANEL) {
    void *y = sdk_at_mutable(f->y, type, r * f->stride);
    const void *residual =
        f->residual ? sdk_at(f->residual, type, r * f->stride) : NULL;
#define BODY(GET, PUT) \
  vector v = v_load(c + i); \
  if (f->bias) v = v_add(v, GET(f->bias, i, SDK_F32)); \
  if (gated) { \
    vector gate = v_load(c + SDK_PANEL / 2 + i); \
    if (f->gate_bias) gate = v_add(gate, GET(f->gate_bias, i, SDK_F32)); \
    v = v_mul(v, v_gelu_for(gate, type)); \
  } \
  if (residual) v = v_add(v, GET(residual, i, type)); \
  PUT(y, i, v, type);
    EACH_VECTOR(f->columns, BODY);
#undef BODY
  }
}

VECTOR static void finish(const product_finish *f, const float *c, size_t rows) {
#define CALL(t) \
  if (f->gated) finish_body(f, c, rows, t, 1); \
  else finish_body(f, c, rows, t, 0)
  BY_TYPE(f->type, CALL)
#undef CALL
}


// MARK: Packing

/// WIDTH rows of WIDTH f32 values to columns.
INLINE void interleave_body(
    const float *const rows[SDK_PANEL], size_t stride, size_t depth, void *packed,
    const sdk_type type) {
  for (size_t k = 0; k < depth; k += WIDTH) {
    const size_t count = depth - k < WIDTH ? depth - k : WIDTH;
    for (int t = 0; t < PANEL_VECTORS; t++) {
      float values[WIDTH][WIDTH], columns[WIDTH][WIDTH];
      if (stride == 1 && count == WIDTH) {
        UNROLL
        for (int r = 0; r < WIDTH; r++) v_store(values[r], v_load(rows[t * WIDTH + r] + k));
      } else {
        for (int r = 0; r < WIDTH; r++) {
          const float *row = rows[t * WIDTH + r];
          for (size_t i = 0; i < WIDTH; i++) values[r][i] = i < count ? row[(k + i) * stride] : 0;
        }
      }
      v_transpose(values[0], WIDTH, columns[0], WIDTH);
      if (type == SDK_F32) {
        for (size_t i = 0; i < count; i++)
          v_store((float *)packed + (k + i) * SDK_PANEL + t * WIDTH, v_load(columns[i]));
      } else {
        for (size_t i = 0; i + 1 < count; i += 2)
          v_to_pairs(
              (uint16_t *)packed + (k + i) * SDK_PANEL + 2 * t * WIDTH, v_load(columns[i]),
              v_load(columns[i + 1]));
      }
    }
  }
}

VECTOR static void interleave(
    const float *const rows[SDK_PANEL], size_t stride, size_t depth, void *packed, sdk_type type) {
#define CALL(t) interleave_body(rows, stride, depth, packed, t)
  BY_TYPE(type, CALL)
#undef CALL
}
