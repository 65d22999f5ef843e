// Vectorized transforms of Winograd convolutions.
#pragma once

#include "api/product_table.h"
#include "vector/functions.h"
#include "vector/values.h"
#include "vector/words.h"

// MARK: Pixels before the transform

INLINE void normalize_body(
    const void *x, const sdk_type type, float *y, size_t channels, const float *scale,
    const float *shift, const int silu) {
  for (size_t c = 0; c < channels; c += WIDTH) {
    vector v = v_fma(get(x, c, type), v_load(scale + c), v_load(shift + c));
    if (silu) v = v_silu_for(v, type);
    v_store(y + c, v);
  }
}

VECTOR static void normalize(
    const void *x, sdk_type type, float *y, size_t channels, const float *scale,
    const float *shift, int silu) {
#define CALL(t) \
  if (silu) normalize_body(x, t, y, channels, scale, shift, 1); \
  else normalize_body(x, t, y, channels, scale, shift, 0)
  BY_TYPE(type, CALL)
#undef CALL
}

// MARK: F(2x2, 3x3)

/// Four values, `step` apart, to the four positions.
INLINE void input2_line(vector d[16], const int first, const int step) {
  const vector d0 = d[first], d1 = d[first + step], d2 = d[first + 2 * step],
               d3 = d[first + 3 * step];
  d[first] = v_sub(d0, d2);
  d[first + step] = v_add(d1, d2);
  d[first + 2 * step] = v_sub(d2, d1);
  d[first + 3 * step] = v_sub(d3, d1);
}

INLINE void input2_body(
    const winograd_input *tile, const sdk_type type, const sdk_type v_type) {
  for (size_t c = 0; c < tile->channels; c += WIDTH) {
    vector d[16];
    UNROLL
    for (int i = 0; i < 16; i++) d[i] = get(tile->pixels[i], c, type);
    UNROLL
    for (int i = 0; i < 4; i++) input2_line(d, i, 4);
    UNROLL
    for (int i = 0; i < 4; i++) input2_line(d, 4 * i, 1);
    UNROLL
    for (int i = 0; i < 16; i++) put(tile->v, (size_t)i * tile->position_stride + c, d[i], v_type);
  }
}

VECTOR static void input2(const winograd_input *tile) {
  if (tile->v_type == SDK_F32) input2_body(tile, SDK_F32, SDK_F32);
  else if (tile->type == SDK_F32) input2_body(tile, SDK_F32, SDK_BF16);
  else input2_body(tile, SDK_BF16, SDK_BF16);
}

INLINE void output2_body(const winograd_output *tile, sdk_type type) {
  for (size_t c = 0; c < tile->columns; c += WIDTH) {
    vector m[16], y[2][4];
    UNROLL
    for (int i = 0; i < 16; i++) m[i] = v_load(tile->m + (size_t)i * tile->position_stride + c);
    UNROLL
    for (int j = 0; j < 4; j++) {
      y[0][j] = v_add(v_add(m[j], m[4 + j]), m[8 + j]);
      y[1][j] = v_add(v_sub(m[4 + j], m[8 + j]), m[12 + j]);
    }
    const vector bias = v_load(tile->bias + c);
    UNROLL
    for (int i = 0; i < 2; i++) {
      vector out[2] = {
          v_add(v_add(y[i][0], y[i][1]), y[i][2]), v_add(v_sub(y[i][1], y[i][2]), y[i][3])};
      UNROLL
      for (int j = 0; j < 2; j++) {
        const int at = 2 * i + j;
        if (tile->y[at] == NULL) continue;
        vector v = v_add(out[j], bias);
        if (tile->residual[at]) v = v_add(v, get(tile->residual[at], c, type));
        put(tile->y[at], c, v, type);
      }
    }
  }
}

VECTOR static void output2(const winograd_output *tile) {
#define CALL(t) output2_body(tile, t)
  BY_TYPE(tile->type, CALL)
#undef CALL
}

/// Three taps, `step` apart, to the four positions, `out_step` apart.
INLINE void weights2_line(const vector *g, const int step, vector *u, const int out_step) {
  const vector half = v_set(0.5f);
  const vector even = v_mul(v_add(g[0], g[2 * step]), half), odd = v_mul(g[step], half);
  u[0] = g[0];
  u[out_step] = v_add(even, odd);
  u[2 * out_step] = v_sub(even, odd);
  u[3 * out_step] = g[2 * step];
}

INLINE void weights2_of(const vector g[9], vector u[16]) {
  vector lines[12];  // [4 positions, 3 taps]
  UNROLL
  for (int j = 0; j < 3; j++) weights2_line(g + j, 3, lines + j, 3);
  UNROLL
  for (int i = 0; i < 4; i++) weights2_line(lines + 3 * i, 1, u + 4 * i, 1);
}

// MARK: F(4x4, 3x3)

#define NEAR2 (SDK_NEAR * SDK_NEAR)
#define FAR2 (SDK_FAR * SDK_FAR)

/// Six values, `step` apart, to the six positions.
INLINE void input4_line(vector *d, const int step) {
  const vector d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step],
               d5 = d[5 * step];
  const vector both = v_set(NEAR2 * FAR2), sum = v_set(-(NEAR2 + FAR2));
  const vector near_even = v_fma(d2, v_set(-FAR2), d4), near_odd = v_fma(d1, v_set(-FAR2), d3);
  const vector far_even = v_fma(d2, v_set(-NEAR2), d4), far_odd = v_fma(d1, v_set(-NEAR2), d3);
  d[0] = v_fma(d0, both, v_fma(d2, sum, d4));
  d[step] = v_fma(near_odd, v_set(SDK_NEAR), near_even);
  d[2 * step] = v_fma(near_odd, v_set(-SDK_NEAR), near_even);
  d[3 * step] = v_fma(far_odd, v_set(SDK_FAR), far_even);
  d[4 * step] = v_fma(far_odd, v_set(-SDK_FAR), far_even);
  d[5 * step] = v_fma(d1, both, v_fma(d3, sum, d5));
}

INLINE void input4_body(
    const winograd_input *tile, const sdk_type type, const sdk_type v_type) {
  for (size_t c = 0; c < tile->channels; c += WIDTH) {
    vector d[36];
    for (int j = 0; j < 6; j++) {
      UNROLL
      for (int i = 0; i < 6; i++) d[6 * i + j] = get(tile->pixels[6 * i + j], c, type);
      input4_line(d + j, 6);
    }
    for (int i = 0; i < 6; i++) {
      input4_line(d + 6 * i, 1);
      UNROLL
      for (int j = 0; j < 6; j++)
        put(tile->v, (size_t)(6 * i + j) * tile->position_stride + c, d[6 * i + j], v_type);
    }
  }
}

VECTOR static void input4(const winograd_input *tile) {
  if (tile->v_type == SDK_F32) input4_body(tile, SDK_F32, SDK_F32);
  else if (tile->type == SDK_F32) input4_body(tile, SDK_F32, SDK_BF16);
  else input4_body(tile, SDK_BF16, SDK_BF16);
}

/// Six positions, `step` apart, to four values.
INLINE void output4_line(const vector *m, const int step, vector *y, const int out_step) {
  const vector near_sum = v_add(m[step], m[2 * step]), near_gap = v_sub(m[step], m[2 * step]);
  const vector far_sum = v_add(m[3 * step], m[4 * step]);
  const vector far_gap = v_sub(m[3 * step], m[4 * step]);
  y[0] = v_add(m[0], v_add(near_sum, far_sum));
  y[out_step] = v_fma(far_gap, v_set(SDK_FAR), v_mul(near_gap, v_set(SDK_NEAR)));
  y[2 * out_step] = v_fma(far_sum, v_set(FAR2), v_mul(near_sum, v_set(NEAR2)));
  y[3 * out_step] = v_fma(
      far_gap, v_set(FAR2 * SDK_FAR), v_fma(near_gap, v_set(NEAR2 * SDK_NEAR), m[5 * step]));
}

INLINE void output4_body(const winograd_output *tile, sdk_type type) {
  for (size_t c = 0; c < tile->columns; c += WIDTH) {
    vector lines[24];  // [4 values, 6 positions]
    for (int j = 0; j < 6; j++) {
      vector m[6];
      UNROLL
      for (int i = 0; i < 6; i++)
        m[i] = v_load(tile->m + (size_t)(6 * i + j) * tile->position_stride + c);
      output4_line(m, 1, lines + j, 6);
    }
    const vector bias = v_load(tile->bias + c);
    for (int i = 0; i < 4; i++) {
      vector out[4];
      output4_line(lines + 6 * i, 1, out, 1);
      UNROLL
      for (int j = 0; j < 4; j++) {
        const int at = 4 * i + j;
        if (tile->y[at] == NULL) continue;
        vector v = v_add(out[j], bias);
        if (tile->residual[at]) v = v_add(v, get(tile->residual[at], c, type));
        put(tile->y[at], c, v, type);
      }
    }
  }
}

VECTOR static void output4(const winograd_output *tile) {
#define CALL(t) output4_body(tile, t)
  BY_TYPE(tile->type, CALL)
#undef CALL
}

/// Three taps, `step` apart, to the six positions, `out_step` apart.
INLINE void weights4_line(const vector *g, const int step, vector *u, const int out_step) {
  const vector near = v_set(1 / (2 * NEAR2 * (NEAR2 - FAR2)));
  const vector far = v_set(1 / (2 * FAR2 * (FAR2 - NEAR2)));
  const vector near_even = v_mul(v_fma(g[2 * step], v_set(NEAR2), g[0]), near);
  const vector near_odd = v_mul(v_mul(g[step], v_set(SDK_NEAR)), near);
  const vector far_even = v_mul(v_fma(g[2 * step], v_set(FAR2), g[0]), far);
  const vector far_odd = v_mul(v_mul(g[step], v_set(SDK_FAR)), far);
  u[0] = v_mul(g[0], v_set(1 / (NEAR2 * FAR2)));
  u[out_step] = v_add(near_even, near_odd);
  u[2 * out_step] = v_sub(near_even, near_odd);
  u[3 * out_step] = v_add(far_even, far_odd);
  u[4 * out_step] = v_sub(far_even, far_odd);
  u[5 * out_step] = g[2 * step];
}

INLINE void weights4_of(const vector g[9], vector u[36]) {
  vector lines[18];  // [6 positions, 3 taps]
  UNROLL
  for (int j = 0; j < 3; j++) weights4_line(g + j, 3, lines + j, 3);
  UNROLL
  for (int i = 0; i < 6; i++) weights4_line(lines + 3 * i, 1, u + 6 * i, 1);
}

// MARK: Weights

/// Weights of one panel from taps to positions, edge + 2 by edge + 2; inputs are even.
INLINE void weights_body(
    const winograd_weights *w, const int edge, const sdk_type type, const sdk_type u_type) {
  const size_t positions = (size_t)((edge + 2) * (edge + 2));
  for (size_t k = 0; k < w->inputs; k += 2)
    for (size_t t = 0; t < PANEL_VECTORS; t++) {
      vector g[2][9], u[2][36];
      const size_t row = k * SDK_PANEL + t * WIDTH, pair = k * SDK_PANEL + 2 * t * WIDTH;
      for (size_t tap = 0; tap < 9; tap++) {
        if (type == SDK_F32) {
          const float *from = (const float *)w->weights + tap * w->tap_stride + row;
          g[0][tap] = v_load(from);
          g[1][tap] = v_load(from + SDK_PANEL);
        } else {
          const uint16_t *from = (const uint16_t *)w->weights + tap * w->tap_stride + pair;
          v_from_pairs(from, &g[0][tap], &g[1][tap]);
        }
      }
      UNROLL
      for (int half = 0; half < 2; half++) {
        if (edge == 2) weights2_of(g[half], u[half]);
        else weights4_of(g[half], u[half]);
      }
      for (size_t p = 0; p < positions; p++) {
        if (u_type == SDK_F32) {
          float *to = (float *)w->u + p * w->position_stride + row;
          v_store(to, u[0][p]);
          v_store(to + SDK_PANEL, u[1][p]);
        } else {
          v_to_pairs((uint16_t *)w->u + p * w->position_stride + pair, u[0][p], u[1][p]);
        }
      }
    }
}

VECTOR static void weights_of(const winograd_weights *w, const int edge) {
  if (w->u_type == SDK_F32) weights_body(w, edge, SDK_F32, SDK_F32);
  else if (w->type == SDK_F32) weights_body(w, edge, SDK_F32, SDK_BF16);
  else weights_body(w, edge, SDK_BF16, SDK_BF16);
}

VECTOR static void weights2(const winograd_weights *w) { weights_of(w, 2); }
VECTOR static void weights4(const winograd_weights *w) { weights_of(w, 4); }
