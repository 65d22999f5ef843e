// Attention in tiles, with one query in each lane of a vector.
//
// Scores are computed transposed, keys by queries: a key's value is broadcast against vectors of
// queries, so that the highest score and the sum of each query are found without crossing lanes,
// and keys and values are read in place, whatever the head's size.

#pragma once

#include <math.h>
#include <string.h>

#include "api/kernel_table.h"
#include "casts.h"
#include "vector/functions.h"
#include "vector/transposition.h"
#include "vector/words.h"

/// Keys whose scores are held at once: with the query tile they fit in the L1 cache.
#define TILE_KEYS 48
#define TILE (TILE_VECTORS * WIDTH)

/// scores[r, :] = k[r, :] q for `rows` keys; q is [size, TILE].
INLINE void score_rows(
    const float *q, const float *k, size_t k_stride, size_t size, float *scores, const int rows) {
  vector sum[TILE_ROWS][TILE_VECTORS];
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < TILE_VECTORS; t++) sum[r][t] = v_set(0);
  for (size_t c = 0; c < size; c++) {
    vector query[TILE_VECTORS];
    UNROLL
    for (int t = 0; t < TILE_VECTORS; t++) query[t] = v_load(q + c * TILE + t * WIDTH);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const vector key = v_set(k[(size_t)r * k_stride + c]);
      UNROLL
      for (int t = 0; t < TILE_VECTORS; t++) sum[r][t] = v_fma(key, query[t], sum[r][t]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < TILE_VECTORS; t++) v_store(scores + r * TILE + t * WIDTH, sum[r][t]);
}

/// y[r, :] += sum over j of v[j, r] weights[j, :], for `rows` channels of the head.
INLINE void value_rows(
    const float *weights, const float *v, size_t v_stride, size_t keys, float *y,
    const int rows) {
  vector sum[TILE_ROWS][TILE_VECTORS];
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < TILE_VECTORS; t++) sum[r][t] = v_load(y + r * TILE + t * WIDTH);
  for (size_t j = 0; j < keys; j++) {
    vector weight[TILE_VECTORS];
    UNROLL
    for (int t = 0; t < TILE_VECTORS; t++) weight[t] = v_load(weights + j * TILE + t * WIDTH);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const vector value = v_set(v[j * v_stride + (size_t)r]);
      UNROLL
      for (int t = 0; t < TILE_VECTORS; t++) sum[r][t] = v_fma(value, weight[t], sum[r][t]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < TILE_VECTORS; t++) v_store(y + r * TILE + t * WIDTH, sum[r][t]);
}

// The rows must be a constant for the sums to stay in registers.
#define BY_ROWS(rows, CALL) \
  switch (rows) { \
    case 1: CALL(1); break; \
    case 2: CALL(2); break; \
    case 3: CALL(3); break; \
    case 4: CALL(4); break; \
    case 5: CALL(5); break; \
    default: CALL(6); break; \
  }

VECTOR static void score_tile(
    const float *q, const float *k, size_t k_stride, size_t size, size_t keys, float *scores) {
  for (size_t j = 0; j < keys; j += TILE_ROWS) {
    const size_t rows = keys - j < TILE_ROWS ? keys - j : TILE_ROWS;
#define CALL(n) score_rows(q, k + j * k_stride, k_stride, size, scores + j * TILE, n)
    BY_ROWS(rows, CALL)
#undef CALL
  }
}

VECTOR static void value_tile(
    const float *weights, const float *v, size_t v_stride, size_t keys, size_t size, float *y) {
  // Pieces as even as possible, since few rows do not fill the multipliers.
  const size_t pieces = (size + TILE_ROWS - 1) / TILE_ROWS;
  for (size_t piece = 0; piece < pieces; piece++) {
    const size_t c = piece * size / pieces, rows = (piece + 1) * size / pieces - c;
#define CALL(n) value_rows(weights, v + c, v_stride, keys, y + c * TILE, n)
    BY_ROWS(rows, CALL)
#undef CALL
  }
}

/// Turns scores (in units of log2) of `keys` more keys into weights, and brings the highest
/// score, the sum of weights and the weighted sum y so far in line with them.
VECTOR static void weigh_tile(
    float *scores, size_t keys, float *highest, float *total, float *y, size_t size) {
  for (int t = 0; t < TILE_VECTORS; t++) {
    const vector before = v_load(highest + t * WIDTH);
    vector top = before;
    // NaN scores are ignored here; their weight is NaN, and so are the query's sums.
    for (size_t j = 0; j < keys; j++) top = v_max(v_load(scores + j * TILE + t * WIDTH), top);
    vector sum = v_set(0);
    for (size_t j = 0; j < keys; j++) {
      const vector weight = v_exp2(v_sub(v_load(scores + j * TILE + t * WIDTH), top));
      v_store(scores + j * TILE + t * WIDTH, weight);
      sum = v_add(sum, weight);
    }
    vector so_far = v_load(total + t * WIDTH);
    if (!v_all_equal(before, top)) {
      const vector factor = v_exp2(v_sub(before, top));
      so_far = v_mul(so_far, factor);
      for (size_t c = 0; c < size; c++)
        v_store(
            y + c * TILE + t * WIDTH, v_mul(v_load(y + c * TILE + t * WIDTH), factor));
      v_store(highest + t * WIDTH, top);
    }
    v_store(total + t * WIDTH, v_add(so_far, sum));
  }
}

/// Floats for one thread: queries and sums transposed, scores, highest and total; for bf16 also
/// one tile of keys or values, and of queries or results, in f32.
VECTOR static size_t attention_scratch(size_t keys, size_t size) {
  (void)keys;
  return sizeof(float) *
         (2 * size * TILE + TILE_KEYS * TILE + 2 * TILE + TILE_KEYS * size + TILE * size);
}

VECTOR static void attention(
    const sdk_attention_form *form, const void *q, const void *k, const void *v, void *y,
    size_t first, size_t count, void *scratch) {
  const size_t size = form->size;
  const sdk_type type = form->type;
  float *queries = scratch;            // [size, TILE]
  float *sums = queries + size * TILE;  // [size, TILE]
  float *scores = sums + size * TILE;   // [TILE_KEYS, TILE]
  float *highest = scores + TILE_KEYS * TILE;
  float *total = highest + TILE;
  float *wide = total + TILE;                  // [TILE_KEYS, size], for bf16
  float *wide_rows = wide + TILE_KEYS * size;  // [TILE, size], for bf16

  const float *rows = (const float *)q + first * form->q_stride;
  size_t rows_stride = form->q_stride;
  if (type != SDK_F32) {
    for (size_t i = 0; i < count; i++)
      sdk_cast_bf16_f32(
          sdk_at(q, type, (first + i) * form->q_stride), wide_rows + i * size, size);
    rows = wide_rows;
    rows_stride = size;
  }
  // Lanes without a query compute on zeros.
  if (count < TILE) memset(queries, 0, size * TILE * sizeof(float));
  transpose(rows, rows_stride, queries, TILE, count, size);
  // 2^(s log2 e) is e^s, with one multiplication fewer per score.
  const vector scale = v_set((float)(form->scale * 1.44269504088896341));
  for (size_t i = 0; i < size * TILE; i += WIDTH)
    v_store(queries + i, v_mul(v_load(queries + i), scale));
  memset(sums, 0, size * TILE * sizeof(float));
  for (size_t i = 0; i < TILE; i++) {
    highest[i] = -INFINITY;
    total[i] = 0;
  }

  size_t keys = form->keys;
  if (form->causal && first + count < keys) keys = first + count;
  for (size_t j = 0; j < keys; j += TILE_KEYS) {
    const size_t n = keys - j < TILE_KEYS ? keys - j : TILE_KEYS;
    const float *tile = (const float *)k + j * form->k_stride;
    size_t stride = form->k_stride;
    if (type != SDK_F32) {
      for (size_t r = 0; r < n; r++)
        sdk_cast_bf16_f32(sdk_at(k, type, (j + r) * form->k_stride), wide + r * size, size);
      tile = wide;
      stride = size;
    }
    score_tile(queries, tile, stride, size, n, scores);
    if (form->causal && j + n > first + 1) {
      // Key j + r is visible from query j + r on; lanes count from query `first`.
      for (size_t r = 0; r < n; r++)
        UNROLL
        for (int t = 0; t < TILE_VECTORS; t++) {
          const size_t lane = first + (size_t)t * WIDTH;
          if (j + r <= lane) continue;
          float *at = scores + r * TILE + (size_t)t * WIDTH;
          const size_t hidden = j + r - lane;
          v_store(at, v_hide_before(v_load(at), hidden < WIDTH ? hidden : WIDTH));
        }
    }
    weigh_tile(scores, n, highest, total, sums, size);
    tile = (const float *)v + j * form->v_stride;
    stride = form->v_stride;
    if (type != SDK_F32) {
      for (size_t r = 0; r < n; r++)
        sdk_cast_bf16_f32(sdk_at(v, type, (j + r) * form->v_stride), wide + r * size, size);
      tile = wide;
      stride = size;
    }
    value_tile(scores, tile, stride, n, size, sums);
  }

  for (int t = 0; t < TILE_VECTORS; t++) {
    const vector inverse = v_div(v_set(1.0f), v_load(total + t * WIDTH));
    for (size_t c = 0; c < size; c++) {
      float *at = sums + c * TILE + t * WIDTH;
      v_store(at, v_mul(v_load(at), inverse));
    }
  }
  if (type == SDK_F32) {
    transpose(
        sums, TILE, (float *)y + first * form->y_stride, form->y_stride, size, count);
  } else {
    transpose(sums, TILE, wide_rows, size, size, count);
    for (size_t i = 0; i < count; i++)
      sdk_cast_f32_bf16(
          wide_rows + i * size,
          sdk_at_mutable(y, type, (first + i) * form->y_stride), size);
  }
}
