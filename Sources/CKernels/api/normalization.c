// Group norm and layer norm, in pieces for threads.
#include "api/kernel_table.h"
#include "api/pieces.h"

// MARK: Group norm

// A sample's rows are split into chunks, whose number depends only on the size; each leaves its
// channels' moments, which are combined in order, so that results do not depend on the number of
// threads.
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
    const double rate = 1 / __builtin_elementwise_sqrt(square / (double)(f->rows * members) + f->epsilon);
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
      form->batch * form->rows, sdk_rows_in_piece(form->channels), group_norm_apply, &g);
}

// MARK: Layer norm

typedef struct {
  const void *x;
  void *y;
  sdk_type type;
  size_t channels;
  double epsilon;
  const float *gamma, *beta;
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
  sdk_parallel(rows, sdk_rows_in_piece(channels), layer_norm_piece, &f);
}
