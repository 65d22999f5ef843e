// Convolutions by Winograd's minimal filtering, after Lavin and Gray ("Fast Algorithms for
// Convolutional Neural Networks", 2016): tiles of the image are transformed, multiplied position by
// position as matrices, and transformed back.
//
// Tiles are processed in blocks, whose transforms fit in the caches that cores share. Weights are
// either packed transformed, or transformed repeatedly from their taps, panel by panel: with many
// weights for few tiles, that reads and stores less memory.
#include <string.h>

#include "api/kernel_table.h"
#include "api/product_table.h"

/// Bytes of a block of transformed tiles.
#define BLOCK_BYTES (8u << 20)
/// Adjacent tiles whose pixels are normalized at once, and in how many channels.
#define STRIP_TILES 16
#define STRIP_CHANNELS 256
/// Tiles whose sums one thread holds.
#define SUM_TILES 64
/// The same if the weights are transformed for them, and how many bytes of weights at once.
#define LAZY_TILES 128
#define LAZY_BYTES (512u << 10)

static size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }

/// At least `count` values of `size` bytes: an odd number of cache lines, so that simultaneous
/// accesses at all positions do not map to the same few sets of the L1 cache.
static size_t spread(size_t count, size_t size) {
  return (align(count * size) / 64 | 1) * 64 / size;
}

typedef struct {
  const sdk_convolution_form *form;
  size_t edge, positions;
  size_t rows, columns, tiles;  ///< of tiles: in a picture's height, in its width, in all
  size_t block;                 ///< tiles at once, in all threads
  size_t sum_tiles;             ///< tiles at once in one thread
  size_t depth;                 ///< inputs whose weights are transformed at once
  size_t panels;
  char *zeros, *v, *threads;
  size_t thread_bytes, sum_bytes;
  size_t v_stride;              ///< values between positions of the transformed tiles
  size_t first, count, parts;   ///< the block at hand, and in how many parts its sums are made
} winograd;

static winograd winograd_of(const sdk_convolution_form *f) {
  winograd w = {.form = f, .edge = f->method == SDK_WINOGRAD2 ? 2 : 4};
  const size_t size = sdk_type_size(f->type);
  w.positions = (w.edge + 2) * (w.edge + 2);
  w.rows = divide_up(f->out_height, w.edge);
  w.columns = divide_up(f->out_width, w.edge);
  w.tiles = f->batch * w.rows * w.columns;
  w.panels = divide_up(f->outputs, SDK_PANEL);
  size_t most;
  if (f->transformed) {
    w.sum_tiles = SUM_TILES;
    w.depth = f->inputs;
    most = BLOCK_BYTES / (w.positions * f->inputs * size) / SUM_TILES * SUM_TILES;
    if (most < SUM_TILES) most = SUM_TILES;
  } else {
    most = w.edge == 2 ? LAZY_TILES : LAZY_TILES / 2;
    w.depth = LAZY_BYTES / (w.positions * SDK_PANEL * size) / 16 * 16;
    if (w.depth > f->inputs) w.depth = f->inputs;
  }
  w.block = divide_up(w.tiles, divide_up(w.tiles, most));
  if (!f->transformed || w.sum_tiles > w.block) w.sum_tiles = w.block;
  w.sum_bytes = w.positions * spread(w.sum_tiles * SDK_PANEL, sizeof(float)) * sizeof(float);
  w.thread_bytes =
      w.sum_bytes + (f->transformed ? 0 : w.positions * spread(w.depth * SDK_PANEL, size) * size);
  if (f->factors) {
    // The normalized strip and the sums are not needed at the same time.
    const size_t strip = align(
        (w.edge + 2) * (STRIP_TILES * w.edge + 2) * STRIP_CHANNELS * sizeof(float));
    if (w.thread_bytes < strip) w.thread_bytes = strip;
  }
  w.zeros = f->scratch;
  w.v = w.zeros + align(f->inputs * size);
  w.threads = w.v + w.positions * spread(w.block * f->inputs, size) * size;
  return w;
}

size_t sdk_winograd_scratch(const sdk_convolution_form *form, int threads) {
  const winograd w = winograd_of(form);
  return (size_t)(w.threads - (char *)form->scratch) + (size_t)threads * w.thread_bytes;
}

/// Transforms tiles of the current block.
static void transform_tiles(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const winograd *w = context;
  const sdk_convolution_form *f = w->form;
  const product_table *table = sdk_products();
  const size_t size = w->edge + 2, shift = f->doubled ? 1 : 0;
  const size_t height = f->doubled ? (f->height + 1) / 2 : f->height;
  const size_t width = f->doubled ? (f->width + 1) / 2 : f->width;
  winograd_input tile = {
      .type = f->type, .v_type = f->type, .channels = f->inputs, .position_stride = w->v_stride};
  for (size_t i = begin; i < end; i++) {
    const size_t t = w->first + i, batch = t / (w->rows * w->columns);
    const size_t top = t / w->columns % w->rows * w->edge, left = t % w->columns * w->edge;
    for (size_t y = 0; y < size; y++)
      for (size_t x = 0; x < size; x++) {
        // One more than the pixel, since the border begins one before the image.
        const size_t row = top + y, column = left + x;
        const int inside = row >= 1 && row <= f->height && column >= 1 && column <= f->width;
        tile.pixels[size * y + x] =
            inside ? sdk_at(
                         f->x, f->type,
                         ((batch * height + ((row - 1) >> shift)) * width +
                          ((column - 1) >> shift)) *
                             f->inputs)
                   : w->zeros;
      }
    tile.v = sdk_at_mutable(w->v, f->type, i * f->inputs);
    if (w->edge == 2) table->input2(&tile);
    else table->input4(&tile);
  }
}

/// Normalizes `count` adjacent tiles from tile `i` of the block on, and transforms them.
static void transform_strip(const winograd *w, size_t i, size_t count, float *strip) {
  const sdk_convolution_form *f = w->form;
  const product_table *table = sdk_products();
  const size_t size = w->edge + 2, columns = count * w->edge + 2;
  const size_t t = w->first + i, batch = t / (w->rows * w->columns);
  const size_t top = t / w->columns % w->rows * w->edge, left = t % w->columns * w->edge;
  const float *scale = f->factors + batch * 2 * f->inputs, *shift = scale + f->inputs;
  for (size_t c = 0; c < f->inputs; c += STRIP_CHANNELS) {
    const size_t channels = f->inputs - c < STRIP_CHANNELS ? f->inputs - c : STRIP_CHANNELS;
    for (size_t y = 0; y < size; y++)
      for (size_t x = 0; x < columns; x++) {
        const size_t row = top + y, column = left + x;
        float *to = strip + (y * columns + x) * channels;
        if (row < 1 || row > f->height || column < 1 || column > f->width) {
          memset(to, 0, channels * sizeof(float));
          continue;
        }
        const size_t from = ((batch * f->height + row - 1) * f->width + column - 1) * f->inputs;
        table->normalize(
            sdk_at(f->x, f->x_type, from + c), f->x_type, to, channels, scale + c, shift + c, f->silu);
      }
    winograd_input tile = {
        .type = SDK_F32, .v_type = f->type, .channels = channels,
        .position_stride = w->v_stride};
    for (size_t k = 0; k < count; k++) {
      for (size_t y = 0; y < size; y++)
        for (size_t x = 0; x < size; x++)
          tile.pixels[size * y + x] = strip + (y * columns + k * w->edge + x) * channels;
      tile.v = sdk_at_mutable(w->v, f->type, (i + k) * f->inputs + c);
      if (w->edge == 2) table->input2(&tile);
      else table->input4(&tile);
    }
  }
}

/// Like transform_tiles, with x normalized first.
static void transform_strips(void *context, size_t begin, size_t end, int thread) {
  const winograd *w = context;
  float *strip = (float *)(w->threads + (size_t)thread * w->thread_bytes);
  while (begin < end) {
    // Up to the end of a row of tiles.
    const size_t left = w->columns - (w->first + begin) % w->columns;
    size_t count = end - begin < left ? end - begin : left;
    if (count > STRIP_TILES) count = STRIP_TILES;
    transform_strip(w, begin, count, strip);
    begin += count;
  }
}

/// Transforms back the sums of `count` tiles from overall tile `first` on.
static void finish_tiles(
    const winograd *w, const float *sums, size_t first, size_t count, size_t panel) {
  const sdk_convolution_form *f = w->form;
  const product_table *table = sdk_products();
  const size_t at = panel * SDK_PANEL;
  winograd_output tile = {
      .position_stride = spread(count * SDK_PANEL, sizeof(float)), .bias = f->bias + at, .type = f->y_type,
      .columns = f->outputs - at < SDK_PANEL ? f->outputs - at : SDK_PANEL};
  for (size_t i = 0; i < count; i++) {
    const size_t t = first + i, batch = t / (w->rows * w->columns);
    const size_t top = t / w->columns % w->rows * w->edge, left = t % w->columns * w->edge;
    for (size_t y = 0; y < w->edge; y++)
      for (size_t x = 0; x < w->edge; x++) {
        const size_t pixel = w->edge * y + x;
        const int inside = top + y < f->out_height && left + x < f->out_width;
        const size_t to =
            ((batch * f->out_height + top + y) * f->out_width + left + x) * f->outputs + at;
        tile.y[pixel] = inside ? sdk_at_mutable(f->y, f->y_type, to) : NULL;
        tile.residual[pixel] =
            inside && f->residual ? sdk_at(f->residual, f->y_type, to) : NULL;
      }
    tile.m = sums + i * SDK_PANEL;
    if (w->edge == 2) table->output2(&tile);
    else table->output4(&tile);
  }
}

/// Multiplies tiles by a panel of weights, and transforms the sums back.
static void multiply_tiles(void *context, size_t begin, size_t end, int thread) {
  const winograd *w = context;
  const sdk_convolution_form *f = w->form;
  const product_table *table = sdk_products();
  static const size_t no_offset[1] = {0};
  char *own = w->threads + (size_t)thread * w->thread_bytes, *u = own + w->sum_bytes;
  float *sums = (float *)own;
  for (size_t i = begin; i < end; i++) {
    const size_t panel = i / w->parts, part = i % w->parts;
    const size_t first = part * w->count / w->parts;
    const size_t count = (part + 1) * w->count / w->parts - first;
    const size_t chunks = divide_up(count, table->rows);
    const size_t sum_stride = spread(count * SDK_PANEL, sizeof(float));
    for (size_t k = 0; k < f->inputs; k += w->depth) {
      const size_t depth = f->inputs - k < w->depth ? f->inputs - k : w->depth;
      const size_t u_stride = spread(depth * SDK_PANEL, sdk_type_size(f->type));
      if (!f->transformed) {
        const winograd_weights weights = {
            .weights = sdk_at(f->weights, f->type, (panel * 9 * f->inputs + k) * SDK_PANEL),
            .tap_stride = f->inputs * SDK_PANEL, .u = u, .position_stride = u_stride,
            .inputs = depth, .type = f->type, .u_type = f->type};
        if (w->edge == 2) table->weights2(&weights);
        else table->weights4(&weights);
      }
      for (size_t p = 0; p < w->positions; p++) {
        product_tile tile = {
            .stride = f->inputs, .offsets = no_offset, .taps = 1, .depth = depth,
            .accumulate = k > 0,
            .b = f->transformed
                     ? sdk_at(f->weights, f->type,
                              (panel * w->positions + p) * f->inputs * SDK_PANEL)
                     : sdk_at(u, f->type, p * u_stride)};
        for (size_t chunk = 0; chunk < chunks; chunk++) {
          const size_t r = chunk * count / chunks, rows = (chunk + 1) * count / chunks - r;
          tile.a = sdk_at(w->v, f->type, p * w->v_stride + (first + r) * f->inputs + k);
          tile.c = sums + p * sum_stride + r * SDK_PANEL;
          table->product(&tile, f->type, rows);
        }
      }
    }
    finish_tiles(w, sums, w->first + first, count, panel);
  }
}

void sdk_winograd(const sdk_convolution_form *form) {
  winograd w = winograd_of(form);
  memset(w.zeros, 0, form->inputs * sdk_type_size(form->type));
  for (w.first = 0; w.first < w.tiles; w.first += w.count) {
    w.count = w.tiles - w.first < w.block ? w.tiles - w.first : w.block;
    w.v_stride = spread(w.count * form->inputs, sdk_type_size(form->type));
    w.parts = divide_up(w.count, w.sum_tiles);
    if (form->factors) sdk_parallel(w.count, STRIP_TILES, transform_strips, &w);
    else sdk_parallel(w.count, 4, transform_tiles, &w);
    sdk_parallel(w.panels * w.parts, divide_up(w.parts, 2), multiply_tiles, &w);
  }
}

// MARK: Either method


size_t sdk_convolution_scratch(const sdk_convolution_form *form, int threads) {
  return form->method == SDK_DIRECT ? sdk_direct_scratch(form)
                                    : sdk_winograd_scratch(form, threads);
}

void sdk_convolution(const sdk_convolution_form *form) {
  if (form->batch == 0 || form->out_height == 0 || form->out_width == 0) return;
  if (form->method == SDK_DIRECT) sdk_direct(form);
  else sdk_winograd(form);
}
