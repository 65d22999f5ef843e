// The public kernels: work cut into pieces, each done by the current instruction set's version.
#include <math.h>
#include <string.h>

#include "casts.h"
#include "dispatch.h"

/// Values in one piece: large enough to hide the cost of taking it, small enough to share out.
#define PIECE 16384

static size_t rows_in_piece(size_t channels) {
  return channels >= PIECE ? 1 : PIECE / (channels ? channels : 1);
}

// MARK: Casts and layouts

typedef struct {
  const void *source;
  void *target;
  sdk_type from, to;
} cast;

static void cast_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const cast *c = context;
  sdk_convert_serial(
      sdk_at(c->source, c->from, begin), c->from, sdk_at_mutable(c->target, c->to, begin), c->to,
      end - begin);
}

void sdk_convert(const void *source, sdk_type from, void *target, sdk_type to, size_t count) {
  cast c = {source, target, from, to};
  sdk_parallel(count, 4 * PIECE, cast_piece, &c);
}

void sdk_convert_serial(
    const void *source, sdk_type from, void *target, sdk_type to, size_t count) {
  if (from == to) {
    memcpy(target, source, count * sdk_type_size(from));
  } else if (to == SDK_F32) {
    if (from == SDK_F16) sdk_cast_f16_f32(source, target, count);
    else sdk_cast_bf16_f32(source, target, count);
  } else if (from == SDK_F32) {
    if (to == SDK_F16) sdk_cast_f32_f16(source, target, count);
    else sdk_cast_f32_bf16(source, target, count);
  } else {
    // Between the two short types by way of f32, which holds both.
    float values[256];
    for (size_t i = 0; i < count; i += 256) {
      const size_t n = count - i < 256 ? count - i : 256;
      sdk_convert_serial(sdk_at(source, from, i), from, values, SDK_F32, n);
      sdk_convert_serial(values, SDK_F32, sdk_at_mutable(target, to, i), to, n);
    }
  }
}

/// Rows of a layout change done at once.
#define LAYOUT_ROWS 64

typedef struct {
  const void *source;
  void *target;
  sdk_type type;
  size_t channels, rows;
} layout_change;

static void to_channels_last_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const layout_change *c = context;
  const size_t blocks = (c->rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / blocks, first = i % blocks * LAYOUT_ROWS;
    const size_t rows = c->rows - first < LAYOUT_ROWS ? c->rows - first : LAYOUT_ROWS;
    const float *from = (const float *)c->source + batch * c->channels * c->rows + first;
    const size_t at = (batch * c->rows + first) * c->channels;
    if (c->type == SDK_F32) {
      sdk_kernels()->transpose(
          from, c->rows, (float *)c->target + at, c->channels, c->channels, rows);
      continue;
    }
    // Channels a few at a time through f32.
    for (size_t r = 0; r < rows; r++)
      for (size_t channel = 0; channel < c->channels; channel += 64) {
        float values[64];
        const size_t n = c->channels - channel < 64 ? c->channels - channel : 64;
        for (size_t k = 0; k < n; k++) values[k] = from[(channel + k) * c->rows + r];
        sdk_convert_serial(
            values, SDK_F32, sdk_at_mutable(c->target, c->type, at + r * c->channels + channel),
            c->type, n);
      }
  }
}

void sdk_to_channels_last(
    const float *source, void *target, sdk_type type, size_t batch, size_t channels, size_t rows) {
  layout_change c = {source, target, type, channels, rows};
  sdk_parallel(
      batch * ((rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS), 4, to_channels_last_piece, &c);
}

static void from_channels_last_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const layout_change *c = context;
  const size_t blocks = (c->rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / blocks, first = i % blocks * LAYOUT_ROWS;
    const size_t rows = c->rows - first < LAYOUT_ROWS ? c->rows - first : LAYOUT_ROWS;
    float *to = (float *)c->target + batch * c->channels * c->rows + first;
    const size_t at = (batch * c->rows + first) * c->channels;
    if (c->type == SDK_F32) {
      sdk_kernels()->transpose(
          (const float *)c->source + at, c->channels, to, c->rows, rows, c->channels);
      continue;
    }
    for (size_t r = 0; r < rows; r++)
      for (size_t channel = 0; channel < c->channels; channel += 64) {
        float values[64];
        const size_t n = c->channels - channel < 64 ? c->channels - channel : 64;
        sdk_convert_serial(
            sdk_at(c->source, c->type, at + r * c->channels + channel), c->type, values, SDK_F32,
            n);
        for (size_t k = 0; k < n; k++) to[(channel + k) * c->rows + r] = values[k];
      }
  }
}

void sdk_from_channels_last(
    const void *source, sdk_type type, float *target, size_t batch, size_t channels, size_t rows) {
  layout_change c = {source, target, type, channels, rows};
  sdk_parallel(
      batch * ((rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS), 4, from_channels_last_piece, &c);
}

// MARK: Group norm

// A sample's rows are cut into chunks, as many as its size alone decides; each leaves its
// channels' moments, which are put together in order, so that threads do not change the result.
static size_t chunk_rows(size_t rows) {
  const size_t by_count = (rows + 63) / 64;
  return by_count < 64 ? 64 : by_count;
}

static size_t chunk_count(size_t rows) {
  return rows == 0 ? 0 : (rows - 1) / chunk_rows(rows) + 1;
}

size_t sdk_group_norm_scratch(size_t batch, size_t rows, size_t channels) {
  return batch * channels * (2 * sizeof(double) * chunk_count(rows) + 2 * sizeof(float));
}

typedef struct {
  const sdk_group_norm_form *form;
  size_t chunk, chunks;
  double *moments;  // [batch, chunks, 2, channels]
  float *factors;   // [batch, 2, channels]
} group_norm;

static void group_norm_moments(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const group_norm *g = context;
  const sdk_group_norm_form *f = g->form;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / g->chunks, first = i % g->chunks * g->chunk;
    const size_t rows = f->rows - first < g->chunk ? f->rows - first : g->chunk;
    double *mean = g->moments + i * 2 * f->channels;
    sdk_kernels()->moments(
        sdk_at(f->x, f->type, (batch * f->rows + first) * f->channels), f->type, rows,
        f->channels, mean, mean + f->channels);
  }
}

static void group_norm_factors(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const group_norm *g = context;
  const sdk_group_norm_form *f = g->form;
  const size_t members = f->channels / f->groups;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / f->groups, first = i % f->groups * members;
    const double *moments = g->moments + batch * g->chunks * 2 * f->channels;
    double mean = 0, square = 0;
    for (size_t c = first; c < first + members; c++) {
      const double offset = f->offset ? f->offset[c] : 0;
      for (size_t k = 0; k < g->chunks; k++) {
        const size_t left = f->rows - k * g->chunk;
        mean += (double)(left < g->chunk ? left : g->chunk) *
                (moments[k * 2 * f->channels + c] + offset);
      }
    }
    mean /= (double)(f->rows * members);
    for (size_t c = first; c < first + members; c++) {
      const double offset = f->offset ? f->offset[c] : 0;
      for (size_t k = 0; k < g->chunks; k++) {
        const size_t left = f->rows - k * g->chunk;
        const double distance = moments[k * 2 * f->channels + c] + offset - mean;
        square += moments[(k * 2 + 1) * f->channels + c] +
                  (double)(left < g->chunk ? left : g->chunk) * distance * distance;
      }
    }
    const double rate = 1 / sqrt(square / (double)(f->rows * members) + f->epsilon);
    float *scale = g->factors + batch * 2 * f->channels, *shift = scale + f->channels;
    for (size_t c = first; c < first + members; c++) {
      const double offset = f->offset ? f->offset[c] : 0;
      scale[c] = (float)(rate * f->gamma[c]);
      shift[c] = (float)((offset - mean) * rate * f->gamma[c] + f->beta[c]);
    }
  }
}

static void group_norm_apply(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const group_norm *g = context;
  const sdk_group_norm_form *f = g->form;
  while (begin < end) {
    const size_t batch = begin / f->rows;
    const size_t stop = end < (batch + 1) * f->rows ? end : (batch + 1) * f->rows;
    const float *scale = g->factors + batch * 2 * f->channels;
    sdk_kernels()->scale_shift(
        sdk_at(f->x, f->type, begin * f->channels),
        sdk_at_mutable(f->y, f->type, begin * f->channels), f->type, stop - begin, f->channels,
        scale, scale + f->channels, f->silu);
    begin = stop;
  }
}

static group_norm group_norm_of(const sdk_group_norm_form *form) {
  group_norm g = {form, chunk_rows(form->rows), chunk_count(form->rows), form->scratch, NULL};
  g.factors = (float *)(g.moments + form->batch * g.chunks * 2 * form->channels);
  sdk_parallel(form->batch * g.chunks, 1, group_norm_moments, &g);
  sdk_parallel(form->batch * form->groups, 4, group_norm_factors, &g);
  return g;
}

const float *sdk_group_norm_factors(const sdk_group_norm_form *form) {
  return group_norm_of(form).factors;
}

void sdk_group_norm(const sdk_group_norm_form *form) {
  if (form->rows == 0) return;
  group_norm g = group_norm_of(form);
  sdk_parallel(
      form->batch * form->rows, rows_in_piece(form->channels), group_norm_apply, &g);
}

// MARK: Rows and elements

typedef struct {
  const void *x;
  const void *other;
  void *y;
  sdk_type type;
  size_t channels, period;
  double epsilon;
  const float *gamma, *beta;
  sdk_function function;
} rows_form;

static void layer_norm_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_form *f = context;
  sdk_kernels()->layer_norm(
      sdk_at(f->x, f->type, begin * f->channels),
      sdk_at_mutable(f->y, f->type, begin * f->channels), f->type, end - begin, f->channels,
      f->epsilon, f->gamma, f->beta);
}

void sdk_layer_norm(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
  rows_form f = {.x = x, .y = y, .type = type, .channels = channels, .epsilon = epsilon,
                 .gamma = gamma, .beta = beta};
  sdk_parallel(rows, rows_in_piece(channels), layer_norm_piece, &f);
}

static void activation_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_form *f = context;
  sdk_kernels()->activation(
      sdk_at(f->x, f->type, begin), sdk_at_mutable(f->y, f->type, begin), f->type, end - begin,
      f->function);
}

void sdk_activation(const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
  rows_form f = {.x = x, .y = y, .type = type, .function = function};
  sdk_parallel(count, PIECE, activation_piece, &f);
}

static void geglu_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_form *f = context;
  sdk_kernels()->geglu(
      sdk_at(f->x, f->type, begin * 2 * f->channels),
      sdk_at_mutable(f->y, f->type, begin * f->channels), f->type, end - begin, f->channels);
}

void sdk_geglu(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
  rows_form f = {.x = x, .y = y, .type = type, .channels = channels};
  sdk_parallel(rows, rows_in_piece(channels), geglu_piece, &f);
}

static void add_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_form *f = context;
  sdk_kernels()->add(
      sdk_at(f->x, f->type, begin), sdk_at(f->other, f->type, begin),
      sdk_at_mutable(f->y, f->type, begin), f->type, end - begin);
}

void sdk_add(const void *a, const void *b, void *y, sdk_type type, size_t count) {
  rows_form f = {.x = a, .other = b, .y = y, .type = type};
  sdk_parallel(count, PIECE, add_piece, &f);
}

static void add_rows_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_form *f = context;
  const float *table = f->other;
  for (size_t r = begin; r < end; r++)
    sdk_kernels()->add_row(
        sdk_at(f->x, f->type, r * f->channels), table + r % f->period * f->channels,
        sdk_at_mutable(f->y, f->type, r * f->channels), f->type, f->channels);
}

void sdk_add_rows(
    const void *x, const float *table, size_t period, void *y, sdk_type type, size_t rows,
    size_t channels) {
  rows_form f = {.x = x, .other = table, .y = y, .type = type, .channels = channels,
                 .period = period};
  sdk_parallel(rows, rows_in_piece(channels), add_rows_piece, &f);
}

// MARK: Movement

typedef struct {
  const char *a, *b;
  char *y;
  size_t a_bytes, b_bytes;
  size_t height, width, out_height, out_width;
} movement;

static void concatenate_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const movement *m = context;
  for (size_t r = begin; r < end; r++) {
    char *row = m->y + r * (m->a_bytes + m->b_bytes);
    memcpy(row, m->a + r * m->a_bytes, m->a_bytes);
    memcpy(row + m->a_bytes, m->b + r * m->b_bytes, m->b_bytes);
  }
}

void sdk_concatenate(
    const void *a, size_t a_bytes, const void *b, size_t b_bytes, void *y, size_t rows) {
  movement m = {.a = a, .b = b, .y = y, .a_bytes = a_bytes, .b_bytes = b_bytes};
  sdk_parallel(rows, rows_in_piece((a_bytes + b_bytes) / 4), concatenate_piece, &m);
}

static void upsample_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const movement *m = context;
  const size_t pixel = m->a_bytes;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / m->out_height, row = i % m->out_height;
    const char *from = m->a + (batch * m->height + row / 2) * m->width * pixel;
    char *to = m->y + i * m->out_width * pixel;
    for (size_t column = 0; column < m->out_width; column++)
      memcpy(to + column * pixel, from + column / 2 * pixel, pixel);
  }
}

void sdk_upsample(
    const void *x, void *y, size_t batch, size_t height, size_t width, size_t out_height,
    size_t out_width, size_t pixel_bytes) {
  movement m = {.a = x, .y = y, .a_bytes = pixel_bytes, .height = height, .width = width,
                .out_height = out_height, .out_width = out_width};
  sdk_parallel(batch * out_height, 1, upsample_piece, &m);
}

void sdk_timestep_embedding(
    double timestep, float *y, size_t channels, int cosine_first, double shift) {
  const size_t half = channels / 2;
  float *sines = y + (cosine_first ? half : 0), *cosines = y + (cosine_first ? 0 : half);
  for (size_t i = 0; i < half; i++) {
    const double angle = timestep * exp(-log(10000.0) * (double)i / ((double)half - shift));
    sines[i] = (float)sin(angle);
    cosines[i] = (float)cos(angle);
  }
  // An odd width ends in a zero.
  if (channels % 2) y[channels - 1] = 0;
}

// MARK: Attention

typedef struct {
  const sdk_attention_form *form;
  size_t tiles, thread_bytes;
} attention_form;

/// What one thread needs, in whole cache lines so that threads share none.
static size_t attention_thread_bytes(size_t keys, size_t size) {
  return (sdk_kernels()->attention_scratch(keys, size) + 63) / 64 * 64;
}

size_t sdk_attention_scratch(size_t keys, size_t size, int threads) {
  return (size_t)threads * attention_thread_bytes(keys, size);
}

static void attention_piece(void *context, size_t begin, size_t end, int thread) {
  const attention_form *a = context;
  const sdk_attention_form *f = a->form;
  const kernel_table *kernels = sdk_kernels();
  for (size_t i = begin; i < end; i++) {
    // Tiles of one head follow each other, so that its keys and values stay in the caches.
    const size_t first = i % a->tiles * kernels->tile_queries, head = i / a->tiles % f->heads;
    const size_t batch = i / a->tiles / f->heads, at = head * f->size;
    const size_t left = f->queries - first;
    kernels->attention(
        f, sdk_at(f->q, f->type, batch * f->queries * f->q_stride + at),
        sdk_at(f->k, f->type, batch * f->keys * f->k_stride + at),
        sdk_at(f->v, f->type, batch * f->keys * f->v_stride + at),
        sdk_at_mutable(f->y, f->type, batch * f->queries * f->y_stride + at), first,
        left < kernels->tile_queries ? left : kernels->tile_queries,
        (char *)f->scratch + (size_t)thread * a->thread_bytes);
  }
}

void sdk_attention(const sdk_attention_form *form) {
  const size_t tile = sdk_kernels()->tile_queries;
  attention_form a = {
      form, (form->queries + tile - 1) / tile, attention_thread_bytes(form->keys, form->size)};
  sdk_parallel(form->batch * form->heads * a.tiles, 1, attention_piece, &a);
}
