// The plain version of every kernel: the reference for the others and the fallback without them.
#include <math.h>
#include <string.h>

#include "dispatch.h"

// MARK: Values of any type

static float from_half(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
  uint32_t exponent = (h >> 10) & 31, fraction = h & 0x3ff, bits;
  if (exponent == 31) {
    // Infinity, or a NaN made quiet.
    bits = sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
  } else if (exponent == 0) {
    // Zero or a subnormal: fraction * 2^-24 is exact in f32.
    const float magnitude = (float)fraction * 0x1p-24f;
    memcpy(&bits, &magnitude, 4);
    bits |= sign;
  } else {
    bits = sign | (exponent + 112) << 23 | fraction << 13;
  }
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static uint16_t to_half(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00 | (uint16_t)(magnitude >> 13 & 0x3ff);
  // From 65520 on, the nearest half is infinity.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Below 2^-14 halves are multiples of 2^-24; adding 1/2 in f32 rounds to such multiples.
    float absolute;
    memcpy(&absolute, &magnitude, 4);
    const float shifted = absolute + 0.5f;
    uint32_t rounded;
    memcpy(&rounded, &shifted, 4);
    return sign | (uint16_t)(rounded - 0x3f000000);
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return sign | (uint16_t)((rounded - 0x38000000) >> 13);
}

static float from_bfloat(uint16_t b) {
  const uint32_t bits = (uint32_t)b << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static uint16_t to_bfloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float get(const void *base, size_t i, ck_type type) {
  const char *p = ck_at(base, type, i);
  if (type == CK_F32) {
    float value;
    memcpy(&value, p, 4);
    return value;
  }
  uint16_t bits;
  memcpy(&bits, p, 2);
  return type == CK_F16 ? from_half(bits) : from_bfloat(bits);
}

static void put(void *base, size_t i, float value, ck_type type) {
  char *p = ck_at_mutable(base, type, i);
  if (type == CK_F32) {
    memcpy(p, &value, 4);
  } else {
    const uint16_t bits = type == CK_F16 ? to_half(value) : to_bfloat(value);
    memcpy(p, &bits, 2);
  }
}

static void convert(const void *source, ck_type from, void *target, ck_type to, size_t count) {
  for (size_t i = 0; i < count; i++) put(target, i, get(source, i, from), to);
}

// MARK: Functions

static float silu(float x) { return x / (1 + expf(-x)); }
static float gelu(float x) { return 0.5f * x * (1 + erff(x * 0.70710678118654752f)); }
static float quick_gelu(float x) { return x / (1 + expf(-1.702f * x)); }

static void activation(
    const void *x, void *y, ck_type type, size_t count, ck_function function) {
  for (size_t i = 0; i < count; i++) {
    const float v = get(x, i, type);
    put(y, i, function == CK_SILU ? silu(v) : function == CK_GELU ? gelu(v) : quick_gelu(v),
        type);
  }
}

static void geglu(const void *x, void *y, ck_type type, size_t rows, size_t channels) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < channels; c++) {
      const float a = get(x, r * 2 * channels + c, type);
      const float b = get(x, r * 2 * channels + channels + c, type);
      put(y, r * channels + c, a * gelu(b), type);
    }
}

static void add(const void *a, const void *b, void *y, ck_type type, size_t count) {
  for (size_t i = 0; i < count; i++) put(y, i, get(a, i, type) + get(b, i, type), type);
}

static void add_row(const void *x, const float *row, void *y, ck_type type, size_t channels) {
  for (size_t c = 0; c < channels; c++) put(y, c, get(x, c, type) + row[c], type);
}

// MARK: Normalisation

static void moments(
    const void *x, ck_type type, size_t rows, size_t channels, double *mean, double *square) {
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

static void scale_shift(
    const void *x, void *y, ck_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int with_silu) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < channels; c++) {
      const float v = get(x, r * channels + c, type) * scale[c] + shift[c];
      put(y, r * channels + c, with_silu ? silu(v) : v, type);
    }
}

static void layer_norm(
    const void *x, void *y, ck_type type, size_t rows, size_t channels, double epsilon,
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
    const double rate = 1 / sqrt(square / (double)channels + epsilon);
    for (size_t c = 0; c < channels; c++) {
      const float v = (float)((get(x, first + c, type) - mean) * rate);
      put(y, first + c, v * gamma[c] + beta[c], type);
    }
  }
}

static void transpose(
    const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, size_t columns) {
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) y[c * y_stride + r] = x[r * x_stride + c];
}

// MARK: Attention, one query at a time

static size_t attention_scratch(size_t keys, size_t size) {
  return (keys + size) * sizeof(float);
}

static void attention(
    const ck_attention_form *form, const void *q, const void *k, const void *v, void *y,
    size_t first, size_t count, void *scratch) {
  const size_t size = form->size;
  const ck_type type = form->type;
  float *scores = scratch, *sum = scores + form->keys;
  for (size_t i = first; i < first + count; i++) {
    const size_t keys = form->causal && i + 1 < form->keys ? i + 1 : form->keys;
    float highest = -INFINITY;
    for (size_t j = 0; j < keys; j++) {
      float score = 0;
      for (size_t c = 0; c < size; c++)
        score += get(q, i * form->q_stride + c, type) * get(k, j * form->k_stride + c, type);
      scores[j] = score * (float)form->scale;
      highest = fmaxf(highest, scores[j]);
    }
    float total = 0;
    for (size_t c = 0; c < size; c++) sum[c] = 0;
    for (size_t j = 0; j < keys; j++) {
      const float weight = expf(scores[j] - highest);
      total += weight;
      for (size_t c = 0; c < size; c++) sum[c] += weight * get(v, j * form->v_stride + c, type);
    }
    for (size_t c = 0; c < size; c++) put(y, i * form->y_stride + c, sum[c] / total, type);
  }
}

const kernel_table ck_plain_kernels = {
    .convert = convert,
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
