// Attention with both products in bf16, for vectors that multiply pairs.
//
// As in vector_attention.h there is a query in each lane. Scores are a product of keys, read in
// place, and a panel of queries; results are a product of values, two keys interleaved, and of
// weights that were rounded to bf16. Scores, softmax and sums are in f32.

/// Keys whose scores are held at once: scores and weights stay in the first cache.
#define PAIR_KEYS 96

/// y[r, :] += sum over pairs of keys of v[j, r] weights[j, :], for `rows` channels from the first
/// of `v [keys / 2, size]` on.
INLINE void value_pairs(
    const uint16_t *v, size_t size, const uint16_t *weights, size_t keys, float *y,
    const int rows) {
  vector sum[PRODUCT_ROWS][PANEL_VECTORS];
  for (int r = 0; r < rows; r++)
    for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_load(y + r * SDK_PANEL + t * WIDTH);
  for (size_t j = 0; j < keys; j += 2, v += 2 * size, weights += 2 * SDK_PANEL) {
    pairs weight[PANEL_VECTORS];
    for (int t = 0; t < PANEL_VECTORS; t++) weight[t] = v_load_pairs(weights + 2 * t * WIDTH);
    for (int r = 0; r < rows; r++) {
      const pairs value = v_set_pair(v + 2 * r);
      for (int t = 0; t < PANEL_VECTORS; t++) sum[r][t] = v_dot(sum[r][t], value, weight[t]);
    }
  }
  for (int r = 0; r < rows; r++)
    for (int t = 0; t < PANEL_VECTORS; t++) v_store(y + r * SDK_PANEL + t * WIDTH, sum[r][t]);
}

static void value_panel(
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

/// Turns scores of `keys` more keys into weights in pairs, and brings what there is in line.
static void weigh_pairs(
    const float *scores, size_t keys, float scale, uint16_t *weights, float *highest, float *total,
    float *y, size_t size) {
  const vector unit = v_set(scale);
  for (int t = 0; t < PANEL_VECTORS; t++) {
    const float *at = scores + t * WIDTH;
    const vector before = v_load(highest + t * WIDTH);
    // A score of NaN is passed over here; its weight is NaN, and with it the query's sums.
    vector top = v_load(at), other = top;
    size_t j = 1;
    for (; j + 2 <= keys; j += 2) {
      top = v_max(v_load(at + j * SDK_PANEL), top);
      other = v_max(v_load(at + (j + 1) * SDK_PANEL), other);
    }
    if (j < keys) top = v_max(v_load(at + j * SDK_PANEL), top);
    top = v_max(v_mul(v_max(other, top), unit), before);
    const vector negative = v_sub(v_set(0), top);
    vector sum = v_set(0), next = sum;
    for (j = 0; j + 2 <= keys; j += 2) {
      const vector a = v_exp2_short(v_fma(v_load(at + j * SDK_PANEL), unit, negative));
      const vector b = v_exp2_short(v_fma(v_load(at + (j + 1) * SDK_PANEL), unit, negative));
      sum = v_add(sum, a);
      next = v_add(next, b);
      v_to_pairs(weights + j * SDK_PANEL + 2 * t * WIDTH, a, b);
    }
    if (j < keys) {
      const vector a = v_exp2_short(v_fma(v_load(at + j * SDK_PANEL), unit, negative));
      sum = v_add(sum, a);
      v_to_pairs(weights + j * SDK_PANEL + 2 * t * WIDTH, a, v_set(0));
    }
    vector so_far = v_load(total + t * WIDTH);
    if (!v_all_equal(before, top)) {
      const vector factor = v_exp2_short(v_sub(before, top));
      so_far = v_mul(so_far, factor);
      for (size_t c = 0; c < size; c++) {
        float *sums = y + c * SDK_PANEL + t * WIDTH;
        v_store(sums, v_mul(v_load(sums), factor));
      }
      v_store(highest + t * WIDTH, top);
    }
    v_store(total + t * WIDTH, v_add(so_far, v_add(sum, next)));
  }
}

/// Two rows of values to one of pairs; `b` may be null for zeros.
INLINE void zip_rows(const uint16_t *a, const uint16_t *b, size_t count, uint16_t *to) {
  size_t i = 0;
  for (; b && i + WIDTH <= count; i += WIDTH) v_zip_bfloat(to + 2 * i, a + i, b + i);
  for (; i < count; i++) {
    to[2 * i] = a[i];
    to[2 * i + 1] = b ? b[i] : 0;
  }
}

/// Bytes for one thread; for each panel of the tile queries, sums, highest and total.
static size_t attention_pairs_scratch(size_t size) {
  return TILE / SDK_PANEL * (size + 2 * size + 4) * SDK_PANEL * 2 +
         PAIR_KEYS * SDK_PANEL * (sizeof(float) + 2) + (PAIR_KEYS * 2 + SDK_PANEL * 2) * size;
}

/// As attention, for bf16 and even sizes.
static void attention_pairs(
    const sdk_attention_form *form, const uint16_t *q, const uint16_t *k, const uint16_t *v,
    uint16_t *y, size_t first, size_t count, void *scratch) {
  static const size_t no_offset[1] = {0};
  enum { panels_in_tile = TILE / SDK_PANEL };
  const size_t size = form->size, panels = (count + SDK_PANEL - 1) / SDK_PANEL;
  // 2^(s log2 e) is e^s.
  const float scale = (float)(form->scale * 1.44269504088896341);
  float *sums = scratch;                                             // [panels, size, SDK_PANEL]
  float *highest = sums + panels_in_tile * size * SDK_PANEL;         // [panels, SDK_PANEL]
  float *total = highest + panels_in_tile * SDK_PANEL;
  float *scores = total + panels_in_tile * SDK_PANEL;                // [PAIR_KEYS, SDK_PANEL]
  float *queries = scores + PAIR_KEYS * SDK_PANEL;                   // [panels, size / 2, SDK_PANEL] pairs
  uint16_t *weights = (uint16_t *)(queries + panels_in_tile * size / 2 * SDK_PANEL);
  uint16_t *values = weights + PAIR_KEYS * SDK_PANEL;                // [PAIR_KEYS / 2, size] pairs

  memset(sums, 0, panels * size * SDK_PANEL * sizeof(float));
  for (size_t i = 0; i < panels * SDK_PANEL; i++) {
    highest[i] = -INFINITY;
    total[i] = 0;
  }
  for (size_t p = 0; p < panels; p++) {
    float *panel = queries + p * size / 2 * SDK_PANEL;
    const size_t left = count - p * SDK_PANEL, rows = left < SDK_PANEL ? left : SDK_PANEL;
    // Lanes without a query compute on zeros. Pairs are moved as if they were floats.
    if (rows < SDK_PANEL) memset(panel, 0, size / 2 * SDK_PANEL * sizeof(float));
    transpose(
        (const float *)(const void *)(q + (first + p * SDK_PANEL) * form->q_stride),
        form->q_stride / 2, panel, SDK_PANEL, rows, size / 2);
  }

  size_t keys = form->keys;
  if (form->causal && first + count < keys) keys = first + count;
  for (size_t j = 0; j < keys; j += PAIR_KEYS) {
    const size_t n = keys - j < PAIR_KEYS ? keys - j : PAIR_KEYS;
    for (size_t r = 0; r < n; r += 2) {
      const uint16_t *row = v + (j + r) * form->v_stride;
      zip_rows(row, r + 1 < n ? row + form->v_stride : NULL, size, values + r * size);
    }
    const size_t chunks = (n + PRODUCT_ROWS - 1) / PRODUCT_ROWS;
    for (size_t p = 0; p < panels; p++) {
      for (size_t chunk = 0; chunk < chunks; chunk++) {
        const size_t r = chunk * n / chunks;
        const product_tile tile = {
            .a = k + (j + r) * form->k_stride, .stride = form->k_stride, .offsets = no_offset,
            .taps = 1, .depth = size, .b = queries + p * size / 2 * SDK_PANEL,
            .c = scores + r * SDK_PANEL};
        product(&tile, SDK_BF16, (chunk + 1) * n / chunks - r);
      }
      if (form->causal && j + n > first + p * SDK_PANEL + 1) {
        // Key j + r is seen from query j + r on.
        for (size_t r = 0; r < n; r++)
          for (size_t t = 0; t < PANEL_VECTORS; t++) {
            const size_t lane = first + p * SDK_PANEL + t * WIDTH;
            if (j + r <= lane) continue;
            float *at = scores + r * SDK_PANEL + t * WIDTH;
            const size_t hidden = j + r - lane;
            v_store(at, v_hide_before(v_load(at), hidden < WIDTH ? hidden : WIDTH));
          }
      }
      float *panel = sums + p * size * SDK_PANEL;
      weigh_pairs(
          scores, n, scale, weights, highest + p * SDK_PANEL, total + p * SDK_PANEL, panel, size);
      value_panel(values, size, weights, n, panel);
    }
  }

  float *rows = queries;  // [SDK_PANEL, size] once the queries are done with
  for (size_t p = 0; p < panels; p++) {
    float *panel = sums + p * size * SDK_PANEL;
    for (size_t t = 0; t < PANEL_VECTORS; t++) {
      const vector inverse = v_div(v_set(1.0f), v_load(total + p * SDK_PANEL + t * WIDTH));
      for (size_t c = 0; c < size; c++) {
        float *at = panel + c * SDK_PANEL + t * WIDTH;
        v_store(at, v_mul(v_load(at), inverse));
      }
    }
    const size_t left = count - p * SDK_PANEL, here = left < SDK_PANEL ? left : SDK_PANEL;
    transpose(panel, SDK_PANEL, rows, size, size, here);
    for (size_t i = 0; i < here; i++) {
      uint16_t *to = y + (first + p * SDK_PANEL + i) * form->y_stride;
      const float *from = rows + i * size;
      size_t c = 0;
      for (; c + WIDTH <= size; c += WIDTH) put(to, c, v_load(from + c), SDK_BF16);
      if (c < size)
        put_part(to, c, size - c, v_load_part(from + c, size - c), SDK_BF16);
    }
  }
}
