// Token merging: matching with the matmul of all layers, then means and copies of rows.
#include "merging.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/kernel_table.h"
#include "api/product_table.h"

/// Tokens that are compared with one panel of destinations after another.
#define BLOCK_ROWS 56
/// Channels converted to f32 at a time.
#define CHUNK 256

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }

typedef struct {
  const sdk_matching_form *form;
  const product_table *table;
  sdk_type type;                 ///< of what is multiplied
  size_t tokens, windows, others;
  size_t panels, blocks;
  uint32_t *destinations;        ///< [windows], places in the picture
  uint32_t *sources;             ///< [others], in order
  uint64_t *keys;                ///< [batch, others], the most alike first once sorted
  uint32_t *nearest;             ///< [batch, others], indices of destinations
  char *packed;                  ///< [batch, panels, channels, SDK_PANEL]
  float *inverses;               ///< [batch, panels * SDK_PANEL], 1 / the lengths of destinations
  char *threads;
  size_t panel_bytes, thread_bytes;
} matching;

static matching matching_of(const sdk_matching_form *f) {
  matching m = {.form = f, .table = sdk_products()};
  // bf16 is multiplied in pairs.
  m.type = f->type == SDK_BF16 && f->channels % 2 == 0 ? SDK_BF16 : SDK_F32;
  m.tokens = f->height * f->width;
  m.windows = sdk_windows(f->height, f->width);
  m.others = m.tokens - m.windows;
  m.panels = divide_up(m.windows, SDK_PANEL);
  m.blocks = divide_up(m.others, BLOCK_ROWS);
  m.panel_bytes = align(f->channels * SDK_PANEL * sdk_type_size(m.type));
  // As numbers, since without memory only the size is computed.
  uintptr_t at = (uintptr_t)f->scratch;
  m.destinations = (uint32_t *)at;
  at += align(m.windows * sizeof(uint32_t));
  m.sources = (uint32_t *)at;
  at += align(m.others * sizeof(uint32_t));
  m.keys = (uint64_t *)at;
  at += align(f->batch * m.others * sizeof(uint64_t));
  m.nearest = (uint32_t *)at;
  at += align(f->batch * m.others * sizeof(uint32_t));
  m.inverses = (float *)at;
  at += align(f->batch * m.panels * SDK_PANEL * sizeof(float));
  m.packed = (void *)at;
  at += f->batch * m.panels * m.panel_bytes;
  m.threads = (char *)at;
  const size_t rows = align(BLOCK_ROWS * f->channels * sdk_type_size(m.type));
  const size_t lanes = align(BLOCK_ROWS * SDK_PANEL * 4);
  const size_t block = rows + 2 * lanes, panel = align(SDK_PANEL * f->channels * sizeof(float));
  m.thread_bytes = block > panel ? block : panel;
  return m;
}

size_t sdk_matching_scratch(const sdk_matching_form *form, int threads) {
  const matching m = matching_of(form);
  return (size_t)((uintptr_t)m.threads - (uintptr_t)form->scratch) + (size_t)threads * m.thread_bytes;
}

/// Chris Wellons' lowbias32 of window and seed.
static uint32_t mixed(uint32_t seed, uint32_t window) {
  uint32_t x = seed * 0x9e3779b1u + window;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  return x ^ (x >> 16);
}

static void choose_destinations(const matching *m) {
  const sdk_matching_form *f = m->form;
  const size_t columns = (f->width + 1) / 2;
  for (size_t window = 0; window < m->windows; window++) {
    size_t row = window / columns * 2, column = window % columns * 2;
    const uint32_t choice = f->seed ? mixed(f->seed, (uint32_t)window) : 0;
    if ((choice & 2) && row + 1 < f->height) row++;
    if ((choice & 1) && column + 1 < f->width) column++;
    m->destinations[window] = (uint32_t)(row * f->width + column);
  }
  // For the first sample, `places` marks the destination tokens until it is written.
  int32_t *is_destination = f->places;
  memset(is_destination, 0, m->tokens * sizeof(int32_t));
  for (size_t window = 0; window < m->windows; window++)
    is_destination[m->destinations[window]] = 1;
  size_t count = 0;
  for (size_t i = 0; i < m->tokens; i++)
    if (!is_destination[i]) m->sources[count++] = (uint32_t)i;
}

/// The sum of squares in lanes, in the same order for every instruction set.
static float squares(const void *row, sdk_type type, size_t channels) {
  float lanes[8] = {0}, values[CHUNK];
  for (size_t c = 0; c < channels; c += CHUNK) {
    const size_t count = channels - c < CHUNK ? channels - c : CHUNK;
    memset(values, 0, sizeof values);
    sdk_convert_serial(sdk_at(row, type, c), type, values, SDK_F32, count);
    for (size_t i = 0; i < CHUNK; i += 8)
      for (size_t k = 0; k < 8; k++) lanes[k] += values[i + k] * values[i + k];
  }
  float sum = 0;
  for (size_t k = 0; k < 8; k++) sum += lanes[k];
  return sum;
}

static const char *token(const matching *m, size_t batch, size_t i) {
  return sdk_at(m->form->x, m->form->type, (batch * m->tokens + i) * m->form->channels);
}

/// 1 / the norm of a row; 0 for zeros.
static float inverse_length(const void *row, sdk_type type, size_t channels) {
  const float square = squares(row, type, channels);
  return square > 0 ? 1 / __builtin_elementwise_sqrt(square) : 0;
}

/// Packs destinations unchanged, so that bf16 loses nothing, and computes their norms.
static void pack_panels(void *context, size_t begin, size_t end, int thread) {
  const matching *m = context;
  const sdk_matching_form *f = m->form;
  float *wide = (float *)(m->threads + (size_t)thread * m->thread_bytes);
  const float *rows[SDK_PANEL];
  for (size_t n = 0; n < SDK_PANEL; n++) rows[n] = wide + n * f->channels;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / m->panels, first = i % m->panels * SDK_PANEL;
    memset(wide, 0, SDK_PANEL * f->channels * sizeof(float));
    for (size_t n = 0; n < SDK_PANEL && first + n < m->windows; n++) {
      const char *row = token(m, batch, m->destinations[first + n]);
      m->inverses[i * SDK_PANEL + n] = inverse_length(row, f->type, f->channels);
      sdk_convert_serial(row, f->type, wide + n * f->channels, SDK_F32, f->channels);
    }
    m->table->interleave(rows, 1, f->channels, m->packed + i * m->panel_bytes, m->type);
  }
}

/// Numbers that sort as the values do, the highest first.
static uint32_t descending(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
}

/// Finds the nearest destination of the tokens of a block.
static void compare_block(void *context, size_t begin, size_t end, int thread) {
  static const size_t no_offset[1] = {0};
  const matching *m = context;
  const sdk_matching_form *f = m->form;
  const size_t row_bytes = f->channels * sdk_type_size(m->type);
  char *rows = m->threads + (size_t)thread * m->thread_bytes;
  float *highest = (float *)(rows + align(BLOCK_ROWS * row_bytes));
  int32_t *panels = (int32_t *)(highest + BLOCK_ROWS * SDK_PANEL);
  float sums[16 * SDK_PANEL] __attribute__((aligned(64)));
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / m->blocks, first = i % m->blocks * BLOCK_ROWS;
    const size_t count = m->others - first < BLOCK_ROWS ? m->others - first : BLOCK_ROWS;
    for (size_t r = 0; r < count; r++)
      sdk_convert_serial(
          token(m, batch, m->sources[first + r]), f->type, rows + r * row_bytes, m->type,
          f->channels);
    for (size_t k = 0; k < count * SDK_PANEL; k++) {
      highest[k] = -INFINITY;
      panels[k] = 0;
    }
    for (size_t panel = 0; panel < m->panels; panel++) {
      const size_t columns =
          m->windows - panel * SDK_PANEL < SDK_PANEL ? m->windows - panel * SDK_PANEL : SDK_PANEL;
      for (size_t r = 0; r < count; r += m->table->rows) {
        const size_t here = count - r < m->table->rows ? count - r : m->table->rows;
        const product_tile tile = {
            .a = rows + r * row_bytes, .stride = f->channels, .offsets = no_offset, .taps = 1,
            .depth = f->channels, .c = sums,
            .b = m->packed + (batch * m->panels + panel) * m->panel_bytes};
        m->table->product(&tile, m->type, here);
        const float *inverses = m->inverses + (batch * m->panels + panel) * SDK_PANEL;
        for (size_t row = 0; row < here; row++) {
          float *top = highest + (r + row) * SDK_PANEL;
          int32_t *where = panels + (r + row) * SDK_PANEL;
          const float *sum = sums + row * SDK_PANEL;
          for (size_t n = 0; n < columns; n++) {
            const float cosine = sum[n] * inverses[n];
            where[n] = cosine > top[n] ? (int32_t)panel : where[n];
            top[n] = cosine > top[n] ? cosine : top[n];
          }
        }
      }
    }
    for (size_t r = 0; r < count; r++) {
      const float *top = highest + r * SDK_PANEL;
      const int32_t *where = panels + r * SDK_PANEL;
      float best = -INFINITY;
      uint32_t nearest = 0;
      for (size_t n = 0; n < SDK_PANEL; n++) {
        const uint32_t index = (uint32_t)where[n] * SDK_PANEL + (uint32_t)n;
        if (top[n] > best || (top[n] == best && index < nearest)) {
          best = top[n];
          nearest = index;
        }
      }
      const float likeness =
          best * inverse_length(rows + r * row_bytes, m->type, f->channels);
      const size_t at = batch * m->others + first + r;
      m->nearest[at] = nearest < m->windows ? nearest : 0;
      m->keys[at] = (uint64_t)descending(likeness) << 32 | (uint32_t)(first + r);
    }
  }
}

static int compare_keys(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/// Numbers the remaining tokens, and maps merged tokens to their destinations.
static void number_tokens(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const matching *m = context;
  for (size_t batch = begin; batch < end; batch++) {
    int32_t *places = m->form->places + batch * m->tokens;
    uint64_t *keys = m->keys + batch * m->others;
    qsort(keys, m->others, sizeof *keys, compare_keys);
    memset(places, 0, m->tokens * sizeof *places);
    for (size_t i = 0; i < m->form->merged; i++) places[m->sources[(uint32_t)keys[i]]] = -1;
    int32_t next = 0;
    for (size_t i = 0; i < m->tokens; i++)
      if (places[i] == 0) places[i] = next++;
    for (size_t i = 0; i < m->form->merged; i++) {
      const uint32_t source = (uint32_t)keys[i];
      const uint32_t nearest = m->nearest[batch * m->others + source];
      places[m->sources[source]] = places[m->destinations[nearest]];
    }
  }
}

void sdk_match_tokens(const sdk_matching_form *form) {
  const matching m = matching_of(form);
  choose_destinations(&m);
  sdk_parallel(form->batch * m.panels, 1, pack_panels, (void *)&m);
  sdk_parallel(form->batch * m.blocks, 1, compare_block, (void *)&m);
  sdk_parallel(form->batch, 1, number_tokens, (void *)&m);
}

// MARK: Merging and back

typedef struct {
  const void *x, *residual;
  const int32_t *places;
  void *y;
  sdk_type type;
  size_t tokens, left, channels;
  uint32_t *starts;   ///< [batch, left + 1], where in members those of a place begin
  uint32_t *members;  ///< [batch, tokens], by place
} rows_of_places;

size_t sdk_merging_scratch(size_t batch, size_t tokens, size_t left) {
  return batch * (left + 1 + tokens) * sizeof(uint32_t);
}

/// Sorts the tokens by their places, in order.
static void list_members(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_of_places *w = context;
  for (size_t batch = begin; batch < end; batch++) {
    const int32_t *places = w->places + batch * w->tokens;
    uint32_t *starts = w->starts + batch * (w->left + 1);
    uint32_t *members = w->members + batch * w->tokens;
    memset(starts, 0, (w->left + 1) * sizeof *starts);
    for (size_t i = 0; i < w->tokens; i++) starts[places[i] + 1]++;
    for (size_t k = 0; k < w->left; k++) starts[k + 1] += starts[k];
    for (size_t i = 0; i < w->tokens; i++) members[starts[places[i]]++] = (uint32_t)i;
    // Each start has moved to the next.
    for (size_t k = w->left; k > 0; k--) starts[k] = starts[k - 1];
    starts[0] = 0;
  }
}

static void merge_rows(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_of_places *w = context;
  float sum[CHUNK], values[CHUNK];
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / w->left;
    const uint32_t *starts = w->starts + batch * (w->left + 1) + i % w->left;
    const uint32_t *members = w->members + batch * w->tokens;
    const char *x = sdk_at(w->x, w->type, batch * w->tokens * w->channels);
    char *y = sdk_at_mutable(w->y, w->type, i * w->channels);
    const size_t count = starts[1] - starts[0];
    const char *first = sdk_at(x, w->type, members[starts[0]] * w->channels);
    if (count == 1) {
      memcpy(y, first, w->channels * sdk_type_size(w->type));
      continue;
    }
    for (size_t c = 0; c < w->channels; c += CHUNK) {
      const size_t n = w->channels - c < CHUNK ? w->channels - c : CHUNK;
      sdk_convert_serial(sdk_at(first, w->type, c), w->type, sum, SDK_F32, n);
      for (size_t k = 1; k < count; k++) {
        sdk_convert_serial(
            sdk_at(x, w->type, members[starts[0] + k] * w->channels + c), w->type, values, SDK_F32,
            n);
        for (size_t j = 0; j < n; j++) sum[j] += values[j];
      }
      for (size_t j = 0; j < n; j++) sum[j] /= (float)count;
      sdk_convert_serial(sum, SDK_F32, sdk_at_mutable(y, w->type, c), w->type, n);
    }
  }
}

/// Rows in one piece.
static size_t piece(size_t channels) { return channels >= 16384 ? 1 : 16384 / channels; }

void sdk_merge_tokens(
    const void *x, const int32_t *places, void *y, sdk_type type, size_t batch, size_t tokens,
    size_t left, size_t channels, void *scratch) {
  rows_of_places w = {
      .x = x, .places = places, .y = y, .type = type, .tokens = tokens, .left = left,
      .channels = channels, .starts = scratch, .members = (uint32_t *)scratch + batch * (left + 1)};
  sdk_parallel(batch, 1, list_members, &w);
  sdk_parallel(batch * left, piece(channels), merge_rows, &w);
}

static void unmerge_rows(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_of_places *w = context;
  for (size_t i = begin; i < end; i++) {
    const size_t row = i / w->tokens * w->left + (size_t)w->places[i];
    sdk_kernels()->add(
        sdk_at(w->residual, w->type, i * w->channels), sdk_at(w->x, w->type, row * w->channels),
        sdk_at_mutable(w->y, w->type, i * w->channels), w->type, w->channels);
  }
}

void sdk_unmerge_tokens(
    const void *x, const int32_t *places, const void *residual, void *y, sdk_type type,
    size_t batch, size_t tokens, size_t left, size_t channels) {
  rows_of_places w = {
      .x = x, .residual = residual, .places = places, .y = y, .type = type, .tokens = tokens,
      .left = left, .channels = channels};
  sdk_parallel(batch * tokens, piece(channels), unmerge_rows, &w);
}
