// Matmuls and direct convolutions, split into pieces for threads.
#include "api/product_table.h"

#include <string.h>

#include "api/kernel_table.h"

/// The most rows of any table's tiles.
#define MOST_ROWS 14
/// Rows of x that stay in the L2 cache while panels of weights are read.
#define BLOCK_ROWS 256
/// Bytes of weights that stay in the L2 cache while rows are read.
#define GROUP_BYTES (384u << 10)
/// Row tiles that are multiplied by one panel while it is in the L1 cache.
#define PASS_TILES 8
/// At least so many pieces, to balance the load if threads are disturbed.
#define PIECES 16

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

// MARK: Matrices

typedef struct {
  const sdk_product_form *form;
  size_t blocks;          ///< of rows
  size_t panels, groups;  ///< groups of panels
} product_work;

/// Multiplies one tile of rows by one panel.
static void product_rows(
    const sdk_product_form *f, const product_table *table, size_t first, size_t rows,
    size_t panel) {
  static const size_t no_offset[1] = {0};
  float sums[MOST_ROWS * SDK_PANEL] __attribute__((aligned(64)));
  const size_t columns = f->gated ? f->columns / 2 : f->columns;
  const size_t width = f->gated ? SDK_PANEL / 2 : SDK_PANEL, at = panel * width;
  const product_tile tile = {
      .a = sdk_at(f->x, f->type, first * f->depth), .stride = f->depth, .offsets = no_offset,
      .taps = 1, .depth = f->depth, .c = sums,
      .b = sdk_at(f->weights, f->type, panel * f->depth * SDK_PANEL)};
  const product_finish finish = {
      .bias = f->bias ? f->bias + at : NULL,
      .gate_bias = f->bias && f->gated ? f->bias + columns + at : NULL,
      .residual = f->residual ? sdk_at(f->residual, f->y_type, first * columns + at) : NULL,
      .y = sdk_at_mutable(f->y, f->y_type, first * columns + at), .type = f->y_type,
      .stride = columns, .columns = columns - at < width ? columns - at : width,
      .gated = f->gated};
  // The residual is prefetched while the sums are computed.
  if (f->residual)
    for (size_t r = 0; r < rows; r++)
      __builtin_prefetch(sdk_at(finish.residual, f->y_type, r * columns));
  table->product(&tile, f->type, rows);
  table->finish(&finish, sums, rows);
}

static void product_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const product_work *w = context;
  const sdk_product_form *f = w->form;
  const product_table *table = sdk_products();
  for (size_t i = begin; i < end; i++) {
    const size_t block = i / w->groups, group = i % w->groups;
    const size_t first = block * f->rows / w->blocks;
    const size_t rows = (block + 1) * f->rows / w->blocks - first;
    // Evenly, since few rows do not fill the multipliers.
    const size_t tiles = divide_up(rows, table->rows);
    for (size_t tile = 0; tile < tiles; tile += PASS_TILES) {
      const size_t last = tile + PASS_TILES < tiles ? tile + PASS_TILES : tiles;
      for (size_t panel = group * w->panels / w->groups;
           panel < (group + 1) * w->panels / w->groups; panel++)
        for (size_t t = tile; t < last; t++) {
          const size_t r = t * rows / tiles;
          product_rows(f, table, first + r, (t + 1) * rows / tiles - r, panel);
        }
    }
  }
}

void sdk_product(const sdk_product_form *form) {
  if (form->rows == 0 || form->columns == 0) return;
  product_work w = {.form = form, .blocks = 1, .panels = divide_up(form->columns, SDK_PANEL)};
  // Few rows are not split, so that weights, the larger part, are read once.
  if (form->rows > 2 * BLOCK_ROWS) w.blocks = divide_up(form->rows, BLOCK_ROWS);
  // As many panels at once as fit in the L2 cache, so that rows are read and written sequentially.
  const size_t bytes = form->depth * SDK_PANEL * sdk_type_size(form->type);
  w.groups = divide_up(w.panels * bytes, GROUP_BYTES);
  if (w.groups * w.blocks < PIECES) w.groups = divide_up(PIECES, w.blocks);
  if (w.groups > w.panels) w.groups = w.panels;
  sdk_parallel(w.groups * w.blocks, 1, product_piece, &w);
}

// MARK: Direct convolutions

int sdk_convolution_supported(const sdk_convolution_form *form) {
  return form->inputs % 16 == 0 && form->outputs % 16 == 0 && form->inputs > 0;
}

/// An image with its border, as direct convolutions read it.
static size_t padded_height(const sdk_convolution_form *f) {
  return (f->out_height - 1) * f->stride + 3;
}
static size_t padded_width(const sdk_convolution_form *f) {
  return (f->out_width - 1) * f->stride + 3;
}

size_t sdk_direct_scratch(const sdk_convolution_form *f) {
  return f->batch * padded_height(f) * padded_width(f) * f->inputs * sdk_type_size(f->type);
}

typedef struct {
  const sdk_convolution_form *form;
  size_t panels, groups;
} direct_work;

static void pad_rows(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const sdk_convolution_form *f = ((const direct_work *)context)->form;
  const size_t height = padded_height(f), width = padded_width(f);
  const size_t pixel = f->inputs * sdk_type_size(f->type), shift = f->doubled ? 1 : 0;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / height, row = i % height;
    char *to = (char *)f->scratch + i * width * pixel;
    if (row < f->pad_top || row - f->pad_top >= f->height) {
      memset(to, 0, width * pixel);
      continue;
    }
    const size_t from_height = f->doubled ? (f->height + 1) / 2 : f->height;
    const size_t from_width = f->doubled ? (f->width + 1) / 2 : f->width;
    const char *from = (const char *)f->x +
                       (batch * from_height + ((row - f->pad_top) >> shift)) * from_width * pixel;
    const float *scale = f->factors ? f->factors + batch * 2 * f->inputs : NULL;
    if (scale) {
      memset(to, 0, f->pad_left * pixel);
      sdk_kernels()->scale_shift(
          from, to + f->pad_left * pixel, f->type, f->width, f->inputs, scale, scale + f->inputs,
          f->silu);
      const size_t done = f->pad_left + f->width;
      if (done < width) memset(to + done * pixel, 0, (width - done) * pixel);
      continue;
    }
    for (size_t column = 0; column < width; column++) {
      if (column < f->pad_left || column - f->pad_left >= f->width)
        memset(to + column * pixel, 0, pixel);
      else
        memcpy(to + column * pixel, from + ((column - f->pad_left) >> shift) * pixel, pixel);
    }
  }
}

static void direct_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const direct_work *w = context;
  const sdk_convolution_form *f = w->form;
  const product_table *table = sdk_products();
  const size_t height = padded_height(f), width = padded_width(f);
  const size_t lines = f->batch * f->out_height, chunks = divide_up(f->out_width, table->rows);
  float sums[MOST_ROWS * SDK_PANEL] __attribute__((aligned(64)));
  size_t offsets[9];
  for (size_t tap = 0; tap < 9; tap++)
    offsets[tap] = (tap / 3 * width + tap % 3) * f->inputs;
  for (size_t i = begin; i < end; i++) {
    const size_t panel = i / w->groups, group = i % w->groups, at = panel * SDK_PANEL;
    product_finish finish = {
        .bias = f->bias + at, .type = f->y_type, .stride = f->outputs,
        .columns = f->outputs - at < SDK_PANEL ? f->outputs - at : SDK_PANEL};
    product_tile tile = {
        .stride = f->stride * f->inputs, .offsets = offsets, .taps = 9, .depth = f->inputs,
        .c = sums, .b = sdk_at(f->weights, f->type, panel * 9 * f->inputs * SDK_PANEL)};
    for (size_t line = group * lines / w->groups; line < (group + 1) * lines / w->groups; line++)
      for (size_t chunk = 0; chunk < chunks; chunk++) {
        const size_t column = chunk * f->out_width / chunks;
        const size_t count = (chunk + 1) * f->out_width / chunks - column;
        const size_t row = line / f->out_height * height + line % f->out_height * f->stride;
        tile.a = sdk_at(f->scratch, f->type, (row * width + column * f->stride) * f->inputs);
        table->product(&tile, f->type, count);
        const size_t y = (line * f->out_width + column) * f->outputs + at;
        finish.y = sdk_at_mutable(f->y, f->y_type, y);
        finish.residual = f->residual ? sdk_at(f->residual, f->y_type, y) : NULL;
        table->finish(&finish, sums, count);
      }
  }
}

void sdk_direct(const sdk_convolution_form *form) {
  const size_t lines = form->batch * form->out_height;
  direct_work w = {form, divide_up(form->outputs, SDK_PANEL), 1};
  w.groups = divide_up(lines * form->out_width, 2 * BLOCK_ROWS);
  if (w.groups > lines) w.groups = lines;
  sdk_parallel(form->batch * padded_height(form), 1, pad_rows, &w);
  const size_t count = w.panels * w.groups;
  sdk_parallel(count, divide_up(count, 2 * PIECES), direct_piece, &w);
}
