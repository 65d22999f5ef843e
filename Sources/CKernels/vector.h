// The vector version of every kernel, over the words that avx2.c and avx512.c define:
// `vector`, WIDTH, v_load and so on. Included once by each, which is why it has no guard.

#include <math.h>
#include <string.h>

#include "casts.h"
#include "vector_math.h"
#include "vector_attention.h"

// MARK: Values of f32 or bf16

INLINE vector get(const void *base, size_t i, sdk_type type) {
  return type == SDK_F32 ? v_load((const float *)base + i)
                         : v_from_bfloat((const uint16_t *)base + i);
}

INLINE void put(void *base, size_t i, vector v, sdk_type type) {
  if (type == SDK_F32) {
    v_store((float *)base + i, v);
  } else {
    v_to_bfloat((uint16_t *)base + i, v);
  }
}

/// The first n values, the rest zero.
INLINE vector get_part(const void *base, size_t i, size_t n, sdk_type type) {
  if (type == SDK_F32) return v_load_part((const float *)base + i, n);
  uint16_t bits[WIDTH] = {0};
  memcpy(bits, (const uint16_t *)base + i, n * 2);
  return get(bits, 0, type);
}

INLINE void put_part(void *base, size_t i, size_t n, vector v, sdk_type type) {
  if (type == SDK_F32) {
    v_store_part((float *)base + i, v, n);
    return;
  }
  uint16_t bits[WIDTH];
  put(bits, 0, v, type);
  memcpy((uint16_t *)base + i, bits, n * 2);
}

/// Runs BODY with GET(pointer, index) and PUT(pointer, index, v) for all of 0..<count: whole
/// vectors, then the part that is left.
#define EACH_VECTOR(count, BODY) \
  do { \
    size_t i = 0; \
    for (; i + WIDTH <= (count); i += WIDTH) { \
      BODY(GET_WHOLE, PUT_WHOLE) \
    } \
    if (i < (count)) { \
      const size_t left = (count) - i; \
      BODY(GET_LEFT, PUT_LEFT) \
    } \
  } while (0)
#define GET_WHOLE(p, at, type) get(p, at, type)
#define PUT_WHOLE(p, at, v, type) put(p, at, v, type)
#define GET_LEFT(p, at, type) get_part(p, at, left, type)
#define PUT_LEFT(p, at, v, type) put_part(p, at, left, v, type)

/// Makes `name` call `name_body` with a constant type, so that the type costs nothing inside.
#define BY_TYPE(type, CALL) \
  if ((type) == SDK_F32) { \
    CALL(SDK_F32); \
  } else { \
    CALL(SDK_BF16); \
  }

// MARK: Functions of elements

/// The clamp of a few latents is left to the plain version.
INLINE void activation_body(
    const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
#define BODY(GET, PUT) PUT(y, i, v_function(GET(x, i, type), function), type);
  EACH_VECTOR(count, BODY);
#undef BODY
}

static void activation(
    const void *x, void *y, sdk_type type, size_t count, sdk_function function) {
#define CALL(t) \
  if (function == SDK_SILU) activation_body(x, y, t, count, SDK_SILU); \
  else if (function == SDK_GELU) activation_body(x, y, t, count, SDK_GELU); \
  else if (function == SDK_QUICK_GELU) activation_body(x, y, t, count, SDK_QUICK_GELU); \
  else if (function == SDK_RELU) activation_body(x, y, t, count, SDK_RELU); \
  else sdk_plain_kernels.activation(x, y, t, count, function)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void geglu_body(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
  for (size_t r = 0; r < rows; r++) {
    const void *a = sdk_at(x, type, r * 2 * channels);
    const void *b = sdk_at(a, type, channels);
    void *out = sdk_at_mutable(y, type, r * channels);
#define BODY(GET, PUT) \
  PUT(out, i, v_mul(GET(a, i, type), v_function(GET(b, i, type), SDK_GELU)), type);
    EACH_VECTOR(channels, BODY);
#undef BODY
  }
}

static void geglu(const void *x, void *y, sdk_type type, size_t rows, size_t channels) {
#define CALL(t) geglu_body(x, y, t, rows, channels)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void add_body(const void *a, const void *b, void *y, sdk_type type, size_t count) {
#define BODY(GET, PUT) PUT(y, i, v_add(GET(a, i, type), GET(b, i, type)), type);
  EACH_VECTOR(count, BODY);
#undef BODY
}

static void add(const void *a, const void *b, void *y, sdk_type type, size_t count) {
#define CALL(t) add_body(a, b, y, t, count)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void add_row_body(
    const void *x, const float *row, void *y, sdk_type type, size_t channels) {
#define BODY(GET, PUT) PUT(y, i, v_add(GET(x, i, type), GET(row, i, SDK_F32)), type);
  EACH_VECTOR(channels, BODY);
#undef BODY
}

static void add_row(const void *x, const float *row, void *y, sdk_type type, size_t channels) {
#define CALL(t) add_row_body(x, row, y, t, channels)
  BY_TYPE(type, CALL)
#undef CALL
}

// MARK: Normalisation

/// Moments of at most WIDTH channels from channel `c` on. Distances from a pivot near the mean
/// are summed in f32 for MOMENT_ROWS rows at a time, those sums in f64.
#define MOMENT_ROWS 64

INLINE void moments_of(
    const void *x, sdk_type type, size_t rows, size_t channels, size_t c, size_t left,
    double *mean, double *square) {
#define AT(r) \
  (left == WIDTH ? get(x, (r) * channels + c, type) \
                 : get_part(x, (r) * channels + c, left, type))
  const size_t probes = rows < 4 ? rows : 4;
  vector pivot = v_set(0);
  for (size_t r = 0; r < probes; r++) pivot = v_add(pivot, AT(r * (rows / probes)));
  pivot = v_mul(pivot, v_set(1.0f / (float)probes));
  double sums[WIDTH] = {0}, squares[WIDTH] = {0};
  for (size_t first = 0; first < rows; first += MOMENT_ROWS) {
    const size_t end = first + MOMENT_ROWS < rows ? first + MOMENT_ROWS : rows;
    vector s0 = v_set(0), s1 = s0, q0 = s0, q1 = s0;
    size_t r = first;
    for (; r + 2 <= end; r += 2) {
      const vector d0 = v_sub(AT(r), pivot), d1 = v_sub(AT(r + 1), pivot);
      s0 = v_add(s0, d0);
      s1 = v_add(s1, d1);
      q0 = v_fma(d0, d0, q0);
      q1 = v_fma(d1, d1, q1);
    }
    if (r < end) {
      const vector d = v_sub(AT(r), pivot);
      s0 = v_add(s0, d);
      q0 = v_fma(d, d, q0);
    }
    float s[WIDTH], q[WIDTH];
    v_store(s, v_add(s0, s1));
    v_store(q, v_add(q0, q1));
    for (size_t i = 0; i < WIDTH; i++) {
      sums[i] += s[i];
      squares[i] += q[i];
    }
  }
#undef AT
  float pivots[WIDTH];
  v_store(pivots, pivot);
  for (size_t i = 0; i < left; i++) {
    const double shift = sums[i] / (double)rows;
    mean[c + i] = pivots[i] + shift;
    const double rest = squares[i] - shift * sums[i];
    // Not fmax, which would make 0 of NaN.
    square[c + i] = rest < 0 ? 0 : rest;
  }
}

INLINE void moments_body(
    const void *x, sdk_type type, size_t rows, size_t channels, double *mean, double *square) {
  size_t c = 0;
  for (; c + WIDTH <= channels; c += WIDTH)
    moments_of(x, type, rows, channels, c, WIDTH, mean, square);
  if (c < channels) moments_of(x, type, rows, channels, c, channels - c, mean, square);
}

static void moments(
    const void *x, sdk_type type, size_t rows, size_t channels, double *mean, double *square) {
#define CALL(t) moments_body(x, t, rows, channels, mean, square)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void scale_shift_body(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int silu) {
  for (size_t r = 0; r < rows; r++) {
    const void *from = sdk_at(x, type, r * channels);
    void *to = sdk_at_mutable(y, type, r * channels);
#define BODY(GET, PUT) \
  vector v = v_fma(GET(from, i, type), GET(scale, i, SDK_F32), GET(shift, i, SDK_F32)); \
  if (silu) v = v_function(v, SDK_SILU); \
  PUT(to, i, v, type);
    EACH_VECTOR(channels, BODY);
#undef BODY
  }
}

static void scale_shift(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
    const float *shift, int silu) {
#define CALL(t) \
  if (silu) scale_shift_body(x, y, t, rows, channels, scale, shift, 1); \
  else scale_shift_body(x, y, t, rows, channels, scale, shift, 0)
  BY_TYPE(type, CALL)
#undef CALL
}

INLINE void layer_norm_body(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
  for (size_t r = 0; r < rows; r++) {
    const void *from = sdk_at(x, type, r * channels);
    void *to = sdk_at_mutable(y, type, r * channels);
    // Two independent sums hide the latency of addition.
    vector sum[2] = {v_set(0), v_set(0)}, square[2] = {v_set(0), v_set(0)};
#define BODY(GET, PUT) sum[i / WIDTH % 2] = v_add(sum[i / WIDTH % 2], GET(from, i, type));
    EACH_VECTOR(channels, BODY);
#undef BODY
    const float mean = v_sum(v_add(sum[0], sum[1])) / (float)channels;
    const vector center = v_set(mean);
    size_t i = 0;
    for (; i + WIDTH <= channels; i += WIDTH) {
      const vector d = v_sub(get(from, i, type), center);
      square[i / WIDTH % 2] = v_fma(d, d, square[i / WIDTH % 2]);
    }
    float total = v_sum(v_add(square[0], square[1]));
    if (i < channels) {
      // Lanes beyond the row would count as zero minus the mean.
      float last[WIDTH];
      v_store(last, v_sub(get_part(from, i, channels - i, type), center));
      for (size_t l = 0; l < channels - i; l++) total += last[l] * last[l];
    }
    const vector rate = v_set((float)(1 / sqrt((double)total / (double)channels + epsilon)));
#define BODY(GET, PUT) \
  PUT(to, i, \
      v_fma( \
          v_mul(v_sub(GET(from, i, type), center), rate), GET(gamma, i, SDK_F32), \
          GET(beta, i, SDK_F32)), \
      type);
    EACH_VECTOR(channels, BODY);
#undef BODY
  }
}

static void layer_norm(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta) {
#define CALL(t) layer_norm_body(x, y, t, rows, channels, epsilon, gamma, beta)
  BY_TYPE(type, CALL)
#undef CALL
}

// MARK: Movement

static void transpose(
    const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, size_t columns) {
  const size_t whole_rows = rows - rows % WIDTH, whole_columns = columns - columns % WIDTH;
  for (size_t r = 0; r < whole_rows; r += WIDTH)
    for (size_t c = 0; c < whole_columns; c += WIDTH)
      v_transpose(x + r * x_stride + c, x_stride, y + c * y_stride + r, y_stride);
  for (size_t r = 0; r < rows; r++)
    for (size_t c = r < whole_rows ? whole_columns : 0; c < columns; c++)
      y[c * y_stride + r] = x[r * x_stride + c];
}

#include "vector_products.h"
#ifdef HAS_BF16_PRODUCTS
#include "vector_attention_bf16.h"
#endif

/// The version for the form's type and size.
static void any_attention(
    const sdk_attention_form *form, const void *q, const void *k, const void *v, void *y,
    size_t first, size_t count, void *scratch) {
#ifdef HAS_BF16_PRODUCTS
  // Pairs of channels are read whole.
  if (form->type == SDK_BF16 && form->size % 2 == 0 && form->q_stride % 2 == 0) {
    attention_pairs(form, q, k, v, y, first, count, scratch);
    return;
  }
#endif
  // The pieces are those of attention_pairs where there is one, which are larger.
  while (count > 0) {
    const size_t queries = count < TILE ? count : TILE;
    attention(form, q, k, v, y, first, queries, scratch);
    first += queries;
    count -= queries;
  }
}

static size_t any_attention_scratch(size_t keys, size_t size) {
  const size_t bytes = attention_scratch(keys, size);
#ifdef HAS_BF16_PRODUCTS
  const size_t pairs = attention_pairs_scratch(size);
  return pairs > bytes ? pairs : bytes;
#else
  return bytes;
#endif
}

const kernel_table KERNELS = {
    .moments = moments,
    .scale_shift = scale_shift,
    .layer_norm = layer_norm,
    .activation = activation,
    .geglu = geglu,
    .add = add,
    .add_row = add_row,
    .transpose = transpose,
#ifdef HAS_BF16_PRODUCTS
    .tile_queries = PAIR_PANELS * SDK_PANEL,
#else
    .tile_queries = TILE,
#endif
    .attention_scratch = any_attention_scratch,
    .attention = any_attention,
};
