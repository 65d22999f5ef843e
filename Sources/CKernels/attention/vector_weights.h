// The softmax of attention in pairs: scores become weights in bf16, a step at a time, so that a
// product can be computed between the steps.
#pragma once

#include <math.h>

#include "kernels.h"
#include "vector/functions.h"
#include "vector/words.h"

/// How far, in powers of two, scores may go beyond the reference that their weights are relative to.
/// bf16 has room for a hundred; what weights multiply must have some too.
#define REACH 16

/// Scores of one panel on their way to weights, which are 2^(scale score - reference).
///
/// The reference is not the highest score of all, which another pass would have to find first, but
/// one that no score so far goes beyond by REACH.
typedef struct {
  float *scores;      ///< [keys, SDK_PANEL], with room for one more
  size_t keys;
  float scale;
  uint16_t *weights;  ///< [keys / 2, SDK_PANEL] pairs
  float *reference;   ///< [SDK_PANEL]
  float *total;       ///< [SDK_PANEL], the sum of all weights
  float *y;           ///< [size, SDK_PANEL], the sum of values by their weights
  size_t size;
  size_t done;        ///< pairs of vectors that are weights
  float sum[SDK_PANEL], most[SDK_PANEL];  ///< of these keys: sum of weights, highest exponent
} weighing;

INLINE void start_weighing(weighing *w) {
  w->done = 0;
  UNROLL
  for (int t = 0; t < PANEL_VECTORS; t++) {
    v_store(w->sum + t * WIDTH, v_set(0));
    v_store(w->most + t * WIDTH, v_set(-INFINITY));
  }
}

/// Pairs of vectors in all; those of one lane follow each other.
INLINE size_t weighing_steps(const weighing *w) { return (w->keys + 1) / 2 * PANEL_VECTORS; }

/// The part of `weighing` that is in registers while steps are done.
typedef struct {
  const float *scores;
  uint16_t *weights;
  vector unit, negative, sum, most;
} weighing_lane;

INLINE weighing_lane lane_of(const weighing *w) {
  const size_t pairs = (w->keys + 1) / 2, t = w->done / pairs, pair = w->done % pairs;
  return (weighing_lane){
      .scores = w->scores + 2 * pair * SDK_PANEL + t * WIDTH,
      .weights = w->weights + 2 * (pair * SDK_PANEL + t * WIDTH), .unit = v_set(w->scale),
      .negative = v_sub(v_set(0), v_load(w->reference + t * WIDTH)),
      .sum = v_load(w->sum + t * WIDTH), .most = v_load(w->most + t * WIDTH)};
}

INLINE void weigh_step(weighing_lane *lane) {
  const vector a = v_fma(v_load(lane->scores), lane->unit, lane->negative);
  const vector b = v_fma(v_load(lane->scores + SDK_PANEL), lane->unit, lane->negative);
  // A score of NaN is passed over here; its weight is NaN, and with it the query's sums.
  lane->most = v_max(b, v_max(a, lane->most));
  lane->sum = v_add(lane->sum, v_weights_to_pairs(lane->weights, a, b));
  lane->scores += 2 * SDK_PANEL;
  lane->weights += 2 * SDK_PANEL;
}

INLINE void leave_lane(weighing *w, const weighing_lane *lane, size_t steps) {
  const size_t t = w->done / ((w->keys + 1) / 2);
  v_store(w->sum + t * WIDTH, lane->sum);
  v_store(w->most + t * WIDTH, lane->most);
  w->done += steps;
}

/// At most so many steps that are left of one lane.
INLINE size_t steps_of_lane(const weighing *w, size_t most) {
  const size_t pairs = (w->keys + 1) / 2, left = pairs - w->done % pairs;
  return left < most ? left : most;
}

/// Makes the highest score so far the reference, and brings what there is in line.
VECTOR static void raise_reference(const weighing *w) {
  const vector unit = v_set(w->scale);
  for (int t = 0; t < PANEL_VECTORS; t++) {
    const float *at = w->scores + t * WIDTH;
    const vector before = v_load(w->reference + t * WIDTH);
    vector top = v_load(at);
    for (size_t j = 1; j < w->keys; j++) top = v_max(v_load(at + j * SDK_PANEL), top);
    top = v_max(v_mul(top, unit), before);
    if (v_all_equal(before, top)) continue;
    const vector factor = v_exp2_short(v_sub(before, top));
    v_store(w->total + t * WIDTH, v_mul(v_load(w->total + t * WIDTH), factor));
    for (size_t c = 0; c < w->size; c++) {
      float *sums = w->y + c * SDK_PANEL + t * WIDTH;
      v_store(sums, v_mul(v_load(sums), factor));
    }
    v_store(w->reference + t * WIDTH, top);
  }
}

VECTOR static void weigh_rest(weighing *w) {
  while (w->done < weighing_steps(w)) {
    const size_t steps = steps_of_lane(w, weighing_steps(w));
    weighing_lane lane = lane_of(w);
    for (size_t i = 0; i < steps; i++) weigh_step(&lane);
    leave_lane(w, &lane, steps);
  }
}

/// Does what is left to do, again if the reference was too low, and counts the weights.
VECTOR static void finish_weighing(weighing *w) {
  weigh_rest(w);
  int is_low = 0;
  UNROLL
  for (int t = 0; t < PANEL_VECTORS; t++)
    is_low |= v_any_above(v_load(w->most + t * WIDTH), v_set(REACH));
  if (is_low) {
    raise_reference(w);
    start_weighing(w);
    weigh_rest(w);
    // Scores so high that their rounding exceeds REACH have no weights: NaN tells of them.
    for (int i = 0; i < SDK_PANEL; i++)
      if (w->most[i] > REACH) w->sum[i] = NAN;
  }
  UNROLL
  for (int t = 0; t < PANEL_VECTORS; t++) {
    float *total = w->total + t * WIDTH;
    v_store(total, v_add(v_load(total), v_load(w->sum + t * WIDTH)));
  }
}
