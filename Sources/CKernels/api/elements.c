// Elementwise functions, in pieces for threads.
#include "api/kernel_table.h"
#include "api/pieces.h"

typedef struct {
  const void *x;
  const void *other;
  void *y;
  sdk_type type;
  size_t channels, period;
  sdk_function function;
} rows_form;

static void activation_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const rows_form *f = context;
  sdk_kernels()->activation(
      sdk_at(f->x, f->type, begin), sdk_at_mutable(f->y, f->type, begin), f->type, end - begin,
      f->function);
}

void sdk_activation(const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
  rows_form f = {.x = x, .y = y, .type = type, .function = function};
  sdk_parallel(count, SDK_PIECE, activation_piece, &f);
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
  sdk_parallel(rows, sdk_rows_in_piece(channels), geglu_piece, &f);
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
  sdk_parallel(count, SDK_PIECE, add_piece, &f);
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
  sdk_parallel(rows, sdk_rows_in_piece(channels), add_rows_piece, &f);
}
