// The plain version of every kernel: the reference for the others, and the fallback.
#include <math.h>

#include "api/kernel_table.h"
#include "plain/values.h"

// MARK: Functions

static float silu(float x) { return x / (1 + expf(-x)); }
static float gelu(float x) { return 0.5f * x * (1 + erff(x * 0.70710678118654752f)); }
static float quick_gelu(float x) { return x / (1 + expf(-1.702f * x)); }

static float value_of(sdk_function function, float x) {
  switch (function) {
    case SDK_SILU: return silu(x);
    case SDK_GELU: return gelu(x);
    case SDK_QUICK_GELU: return quick_gelu(x);
    case SDK_RELU: return x < 0 ? 0 : x;  // NaN stays NaN
    case SDK_LATENT_CLAMP: return 3 * tanhf(x / 3);
  }
  return x;
}

INLINE void activation_body(
    const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
  for (size_t i = 0; i < count; i++) {
    put(y, i, value_of(function, get(x, i, type)), type);
  }
}

static void activation(
    const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
#define CALL(t) activation_body(x, y, t, count, function)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void geglu_body(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < channels; c++) {
      const float a = get(x, r * 2 * channels + c, type);
      const float b = get(x, r * 2 * channels + channels + c, type);
      put(y, r * channels + c, a * gelu(b), type);
    }
}

static void geglu(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
#define CALL(t) geglu_body(x, y, t, rows, channels)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void add_body(const void *a, const void *b, void *y, sdk_type type, size_t count) {
  for (size_t i = 0; i < count; i++) put(y, i, get(a, i, type) + get(b, i, type), type);
}

static void add(const void *a, const void *b, void *y, sdk_type type, size_t count) {
#define CALL(t) add_body(a, b, y, t, count)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void add_row_body(const void *x, const float *row, void *y, sdk_type type, size_t channels) {
  for (size_t c = 0; c < channels; c++) put(y, c, get(x, c, type) + row[c], type);
}

static void add_row(const void *x, const float *row, void *y, sdk_type type, size_t channels) {
#define CALL(t) add_row_body(x, row, y, t, channels)
  BY_TYPE(type, CALL)
#undef CALL
}

// MARK: Normalization

INLINE void moments_body(
    const void *x, sdk_type type, size_t rows, size_t channels, double *restrict mean,
    double *restrict square) {
  for (size_t c = 0; c < channels; c++) mean[c] = square[c] = 0;
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < channels; c++) mean[c] += get(x, r * channels + c, type);
  for (size_t c = 0; c < channels; c++) mean[c] /= (double)rows;
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < channels; c++) {
      const double distance = get(x, r * channels + c, type) - mean[c];
      square[c] += distance * distance;
    }
}

static void moments(
    const void *x, sdk_type type, size_t rows, size_t channels, double *mean, double *square) {
#define CALL(t) moments_body(x, t, rows, channels, mean, square)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void scale_shift_body(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int with_silu) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < channels; c++) {
      const float v = get(x, r * channels + c, type) * scale[c] + shift[c];
      put(y, r * channels + c, with_silu ? silu(v) : v, type);
    }
}

static void scale_shift(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int with_silu) {
#define CALL(t) \
  if (with_silu) scale_shift_body(x, y, t, rows, channels, scale, shift, 1); \
  else scale_shift_body(x, y, t, rows, channels, scale, shift, 0)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void layer_norm_body(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
  for (size_t r = 0; r < rows; r++) {
    const size_t first = r * channels;
    double mean = 0, square = 0;
    for (size_t c = 0; c < channels; c++) mean += get(x, first + c, type);
    mean /= (double)channels;
    for (size_t c = 0; c < channels; c++) {
      const double distance = get(x, first + c, type) - mean;
      square += distance * distance;
    }
    const double rate = 1 / __builtin_elementwise_sqrt(square / (double)channels + epsilon);
    for (size_t c = 0; c < channels; c++) {
      const float v = (float)((get(x, first + c, type) - mean) * rate);
      put(y, first + c, v * gamma[c] + beta[c], type);
    }
  }
}

static void layer_norm(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
#define CALL(t) layer_norm_body(x, y, t, rows, channels, epsilon, gamma, beta)
  BY_TYPE(type, CALL)
#undef CALL
}

static void transpose(
    const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) y[c * y_stride + r] = x[r * x_stride + c];
}

// MARK: Attention, one query at a time

static size_t attention_scratch(size_t keys, size_t size) {
  return (keys + size) * sizeof(double);
}

INLINE void attention_body(
    const sdk_attention_form *form, const void *q, const void *k, const void *v, void *y,
    size_t first, size_t count, void *scratch, const sdk_type type) {
  const size_t size = form->size;
  double *scores = scratch, *sum = scores + form->keys;
  for (size_t i = first; i < first + count; i++) {
    const size_t keys = form->causal && i + 1 < form->keys ? i + 1 : form->keys;
    double highest = -INFINITY;
    for (size_t j = 0; j < keys; j++) {
      double score = 0;
      for (size_t c = 0; c < size; c++)
        score += (double)get(q, i * form->q_stride + c, type) *
                 get(k, j * form->k_stride + c, type);
      scores[j] = score * form->scale;
      highest = fmax(highest, scores[j]);
    }
    double total = 0;
    for (size_t c = 0; c < size; c++) sum[c] = 0;
    for (size_t j = 0; j < keys; j++) {
      const double weight = exp(scores[j] - highest);
      total += weight;
      for (size_t c = 0; c < size; c++) sum[c] += weight * get(v, j * form->v_stride + c, type);
    }
    for (size_t c = 0; c < size; c++)
      put(y, i * form->y_stride + c, (float)(sum[c] / total), type);
  }
}

static void attention(
    const sdk_attention_form *form, const void *q, const void *k, const void *v, void *y,
    size_t first, size_t count, void *scratch) {
#define CALL(t) attention_body(form, q, k, v, y, first, count, scratch, t)
  BY_TYPE(form->type, CALL)
#undef CALL
}

const kernel_table sdk_plain_kernels = {
    .moments = moments,
    .scale_shift = scale_shift,
    .layer_norm = layer_norm,
    .activation = activation,
    .geglu = geglu,
    .add = add,
    .add_row = add_row,
    .transpose = transpose,
    .tile_queries = 8,
    .attention_scratch = attention_scratch,
    .attention = attention,
};
