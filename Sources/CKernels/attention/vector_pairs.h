// Attention with both products in bf16, for vectors that multiply pairs.
//
// As in vector_tiles.h there is a query in each lane. Scores are a product of keys, read in
// place, and a panel of queries; results are a product of values, two keys interleaved, and of
// weights that were rounded to bf16. Scores, softmax and sums are in f32.

#pragma once

#include <math.h>
#include <string.h>

#include "attention/vector_weights.h"
#include "kernels.h"
#include "vector/functions.h"
#include "vector/transposition.h"
#include "vector/values.h"
#include "vector/words.h"

/// Keys whose scores are held at once: two panels' scores and weights stay in the first cache.
#define PAIR_KEYS 48
/// Queries whose values are interleaved once, in panels.
#define PAIR_PANELS 8
/// Keys whose scores are in registers, beside what becomes of others.
#define SCORE_ROWS 8
_Static_assert(SCORE_ROWS == 8, "score_panel has a case for each count of rows");

/// y[r, :] += sum over pairs of keys of v[j, r] weights[j, :], for `rows` channels from the first
/// of `v [keys / 2, size]` on.
INLINE void value_pairs(
    const uint16_t *v, size_t size, const uint16_t *weights, size_t keys, float *y,
    const int rows) {
  vector sum[PRODUCT_ROWS][PANEL_VECTORS];
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_load(y + r * SDK_PANEL + t * WIDTH);
  for (size_t j = 0; j < keys; j += 2, v += 2 * size, weights += 2 * SDK_PANEL) {
    pairs weight[PANEL_VECTORS];
    UNROLL
    for (int t = 0; t < PANEL_VECTORS; t++) weight[t] = v_load_pairs(weights + 2 * t * WIDTH);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const pairs value = v_set_pair(v + 2 * r);
      UNROLL
      for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_dot(sum[r][t], value, weight[t]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < PANEL_VECTORS; t++) v_store(y + r * SDK_PANEL + t * WIDTH, sum[r][t]);
}

VECTOR static void value_panel(
    const uint16_t *v, size_t size, const uint16_t *weights, size_t keys, float *y) {
  const size_t pieces = (size + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
  for (size_t piece = 0; piece < pieces; piece++) {
    const size_t c = piece * size / pieces, rows = (piece + 1) * size / pieces - c;
#define CASE(n) case n: value_pairs(v + 2 * c, size, weights, keys, y + c * SDK_PANEL, n); break;
    switch (rows) {
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11)
      CASE(12) CASE(13) CASE(14)
      default: break;
    }
#undef CASE
  }
}

// MARK: Scores

/// scores[r, :] = k[r, :] q for `rows` keys, and `steps` steps of other scores' weighing between.
INLINE void score_pairs(
    const uint16_t *k, size_t stride, size_t depth, const float *q, float *scores,
    const int rows, weighing *w, size_t steps) {
  vector sum[SCORE_ROWS][PANEL_VECTORS];
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_set(0);
#define STEP \
  do { \
    pairs query[PANEL_VECTORS]; \
    UNROLL for (int t = 0; t < PANEL_VECTORS; t++) \
      query[t] = (pairs)v_load(q + i * SDK_PANEL + t * WIDTH); \
    UNROLL for (int r = 0; r < rows; r++) { \
      const pairs key = v_set_pair(k + (size_t)r * stride + 2 * i); \
      UNROLL for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_dot(sum[r][t], key, query[t]); \
    } \
  } while (0)
  size_t i = 0;
  if (steps > 0) {
    weighing_lane lane = lane_of(w);
    for (; i < steps; i++) {
      weigh_step(&lane);
      STEP;
    }
    leave_lane(w, &lane, steps);
  }
  for (; i < depth; i++) STEP;
#undef STEP
  UNROLL
  for (int r = 0; r < rows; r++)
    UNROLL
    for (int t = 0; t < PANEL_VECTORS; t++)
      v_store(scores + r * SDK_PANEL + t * WIDTH, sum[r][t]);
}

/// Scores of `keys` keys; `w` may be null.
VECTOR static void score_panel(
    const uint16_t *k, size_t stride, size_t depth, const float *q, float *scores, size_t keys,
    weighing *w) {
  const size_t chunks = (keys + SCORE_ROWS - 1) / SCORE_ROWS;
  for (size_t chunk = 0; chunk < chunks; chunk++) {
    const size_t r = chunk * keys / chunks, rows = (chunk + 1) * keys / chunks - r;
    size_t steps = 0;
    if (w && w->done < weighing_steps(w)) {
      // As many in each chunk as even out.
      const size_t left = weighing_steps(w) - w->done, share = left / (chunks - chunk);
      steps = steps_of_lane(w, share < depth ? share : depth);
    }
#define CASE(n) \
  case n: \
    score_pairs(k + r * stride, stride, depth, q, scores + r * SDK_PANEL, n, w, steps); \
    break;
    switch (rows) {
      CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
      default: break;
    }
#undef CASE
  }
}

// MARK: Attention

/// Two rows of values to one of pairs; `b` may be null for zeros.
INLINE void zip_rows(const uint16_t *a, const uint16_t *b, size_t count, uint16_t *to) {
  size_t i = 0;
  for (; b && i + ZIP_WIDTH <= count; i += ZIP_WIDTH) v_zip_bfloat(to + 2 * i, a + i, b + i);
  for (; i < count; i++) {
    to[2 * i] = a[i];
    to[2 * i + 1] = b ? b[i] : 0;
  }
}

/// The working memory of one thread.
typedef struct {
  float *sums;         ///< [PAIR_PANELS, size, SDK_PANEL]
  float *reference;    ///< [PAIR_PANELS, SDK_PANEL]
  float *total;        ///< the same
  float *queries;      ///< [PAIR_PANELS, size / 2, SDK_PANEL] pairs, moved as if they were floats
  float *scores[2];    ///< [PAIR_KEYS + 1, SDK_PANEL]
  uint16_t *weights;   ///< [PAIR_KEYS / 2, SDK_PANEL] pairs
  uint16_t *values[2]; ///< [PAIR_KEYS / 2, size] pairs
} attention_memory;

/// Lays it out from `base` on, which may be null where only the size is asked; returns its bytes.
VECTOR static size_t lay_out(attention_memory *m, void *base, size_t size) {
  const uintptr_t start = (uintptr_t)base, word = sizeof(float);
  uintptr_t at = start;
#define TAKE(place, bytes) ((place) = (void *)at, at += (bytes))
  TAKE(m->sums, PAIR_PANELS * size * SDK_PANEL * word);
  TAKE(m->reference, PAIR_PANELS * SDK_PANEL * word);
  TAKE(m->total, PAIR_PANELS * SDK_PANEL * word);
  TAKE(m->queries, PAIR_PANELS * size / 2 * SDK_PANEL * word);
  TAKE(m->scores[0], (PAIR_KEYS + 1) * SDK_PANEL * word);
  TAKE(m->scores[1], (PAIR_KEYS + 1) * SDK_PANEL * word);
  TAKE(m->weights, PAIR_KEYS / 2 * SDK_PANEL * word);
  TAKE(m->values[0], PAIR_KEYS * size * sizeof(uint16_t));
  TAKE(m->values[1], PAIR_KEYS * size * sizeof(uint16_t));
#undef TAKE
  return at - start;
}

VECTOR static size_t attention_pairs_scratch(size_t size) {
  attention_memory m;
  return lay_out(&m, NULL, size);
}

/// Hides key `first_key + r` from lanes of queries before it.
VECTOR static void hide_later(float *scores, size_t keys, size_t first_key, size_t first_query) {
  for (size_t r = 0; r < keys; r++)
    for (size_t t = 0; t < PANEL_VECTORS; t++) {
      const size_t key = first_key + r, query = first_query + t * WIDTH;
      if (key <= query) continue;
      float *at = scores + r * SDK_PANEL + t * WIDTH;
      v_store(at, v_hide_before(v_load(at), key - query < WIDTH ? key - query : WIDTH));
    }
}

/// Queries of one panel with a lane each; lanes without a query compute on zeros.
VECTOR static void load_queries(const uint16_t *q, size_t stride, size_t rows, size_t size, float *panel) {
  if (rows < SDK_PANEL) memset(panel, 0, size / 2 * SDK_PANEL * sizeof(float));
  transpose((const float *)(const void *)q, stride / 2, panel, SDK_PANEL, rows, size / 2);
}

/// Divides a panel's sums by `total`, and stores them as rows of y by way of `rows`, [SDK_PANEL, size].
VECTOR static void store_results(
    float *sums, const float *total, size_t count, size_t size, float *rows, uint16_t *y,
    size_t stride) {
  for (size_t t = 0; t < PANEL_VECTORS; t++) {
    const vector inverse = v_div(v_set(1.0f), v_load(total + t * WIDTH));
    for (size_t c = 0; c < size; c++) {
      float *at = sums + c * SDK_PANEL + t * WIDTH;
      v_store(at, v_mul(v_load(at), inverse));
    }
  }
  transpose(sums, SDK_PANEL, rows, size, size, count);
  for (size_t i = 0; i < count; i++) {
    const float *from = rows + i * size;
    size_t c = 0;
    for (; c + WIDTH <= size; c += WIDTH) put(y + i * stride, c, v_load(from + c), SDK_BF16);
    if (c < size)
      put_part(y + i * stride, c, size - c, v_load_part(from + c, size - c), SDK_BF16);
  }
}

/// As attention, for bf16 and even sizes, and at most PAIR_PANELS panels of queries.
///
/// While the scores of one panel are multiplied, those of the panel before become weights: the
/// first keeps the multipliers busy, the second mostly what is beside them.
VECTOR static void attention_pairs(
    const sdk_attention_form *form, const uint16_t *q, const uint16_t *k, const uint16_t *v,
    uint16_t *y, size_t first, size_t count, void *scratch) {
  const size_t size = form->size, panels = (count + SDK_PANEL - 1) / SDK_PANEL;
  attention_memory m;
  lay_out(&m, scratch, size);
  memset(m.sums, 0, panels * size * SDK_PANEL * sizeof(float));
  for (size_t i = 0; i < panels * SDK_PANEL; i++) {
    m.reference[i] = -INFINITY;
    m.total[i] = 0;
  }
  for (size_t p = 0; p < panels; p++) {
    const size_t at = p * SDK_PANEL, left = count - at;
    load_queries(
        q + (first + at) * form->q_stride, form->q_stride, left < SDK_PANEL ? left : SDK_PANEL,
        size, m.queries + at * size / 2);
  }

  size_t keys = form->keys;
  if (form->causal && first + count < keys) keys = first + count;
  // Two in turn: one is on its way while the next is filled.
  weighing works[2], *before = NULL;
  const uint16_t *values_before = NULL;
  size_t turn = 0;
  for (size_t j = 0, block = 0; j < keys; j += PAIR_KEYS, block++) {
    const size_t n = keys - j < PAIR_KEYS ? keys - j : PAIR_KEYS;
    uint16_t *values = m.values[block % 2];
    for (size_t r = 0; r < n; r += 2) {
      const uint16_t *row = v + (j + r) * form->v_stride;
      zip_rows(row, r + 1 < n ? row + form->v_stride : NULL, size, values + r * size);
    }
    for (size_t p = 0; p < panels; p++, turn++) {
      float *scores = m.scores[turn % 2];
      score_panel(
          k + j * form->k_stride, form->k_stride, size / 2,
          m.queries + p * size / 2 * SDK_PANEL, scores, n, before);
      if (before) {
        finish_weighing(before);
        value_panel(values_before, size, m.weights, before->keys, before->y);
      }
      if (form->causal && j + n > first + p * SDK_PANEL + 1)
        hide_later(scores, n, j, first + p * SDK_PANEL);
      // The key that an odd count lacks to a pair.
      for (size_t t = 0; t < PANEL_VECTORS; t++)
        v_store(scores + n * SDK_PANEL + t * WIDTH, v_set(-INFINITY));
      weighing *work = &works[turn % 2];
      *work = (weighing){
          .scores = scores, .keys = n, .scale = (float)(form->scale * 1.44269504088896341),
          .weights = m.weights, .reference = m.reference + p * SDK_PANEL,
          .total = m.total + p * SDK_PANEL, .y = m.sums + p * size * SDK_PANEL, .size = size};
      start_weighing(work);
      if (j == 0) raise_reference(work);
      before = work;
      values_before = values;
    }
  }
  if (before) {
    finish_weighing(before);
    value_panel(values_before, size, m.weights, before->keys, before->y);
  }
  for (size_t p = 0; p < panels; p++) {
    const size_t at = p * SDK_PANEL, left = count - at;
    // The queries are done with.
    store_results(
        m.sums + at * size, m.total + at, left < SDK_PANEL ? left : SDK_PANEL, size, m.queries,
        y + (first + at) * form->y_stride, form->y_stride);
  }
}
