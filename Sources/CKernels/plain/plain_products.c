// The plain version of matmuls and convolutions: the reference for the others.
#include <math.h>
#include <string.h>

#include "api/kernel_table.h"
#include "api/product_table.h"
#include "plain/values.h"

/// The position of input k of output n of a panel in packed weights.
INLINE size_t place(size_t k, size_t n, sdk_type type) {
  return type == SDK_F32 ? k * SDK_PANEL + n : (k / 2 * SDK_PANEL + n) * 2 + k % 2;
}

INLINE void product_body(const product_tile *tile, sdk_type type, size_t rows) {
  for (size_t r = 0; r < rows; r++) {
    float sums[SDK_PANEL] = {0};
    if (tile->accumulate) memcpy(sums, tile->c + r * SDK_PANEL, sizeof sums);
    for (size_t tap = 0; tap < tile->taps; tap++)
      for (size_t k = 0; k < tile->depth; k++) {
        const float a = get(tile->a, r * tile->stride + tile->offsets[tap] + k, type);
        const void *b = sdk_at(tile->b, type, tap * tile->depth * SDK_PANEL);
        for (size_t n = 0; n < SDK_PANEL; n++) sums[n] += a * get(b, place(k, n, type), type);
      }
    memcpy(tile->c + r * SDK_PANEL, sums, sizeof sums);
  }
}

static void product(const product_tile *tile, sdk_type type, size_t rows) {
#define CALL(t) product_body(tile, t, rows)
  BY_TYPE(type, CALL)
#undef CALL
}

static void finish(const product_finish *f, const float *c, size_t rows) {
  for (size_t r = 0; r < rows; r++, c += SDK_PANEL)
    for (size_t n = 0; n < f->columns; n++) {
      float v = c[n] + (f->bias ? f->bias[n] : 0);
      if (f->gated) {
        const float gate = c[SDK_PANEL / 2 + n] + (f->gate_bias ? f->gate_bias[n] : 0);
        v *= 0.5f * gate * (1 + erff(gate * 0.70710678118654752f));
      }
      if (f->residual) v += get(f->residual, r * f->stride + n, f->type);
      put(f->y, r * f->stride + n, v, f->type);
    }
}

INLINE void normalize_body(
    const void *x, sdk_type type, float *y, size_t channels, const float *scale,
    const float *shift, int silu) {
  for (size_t c = 0; c < channels; c++) {
    const float v = get(x, c, type) * scale[c] + shift[c];
    y[c] = silu ? v / (1 + expf(-v)) : v;
  }
}

static void normalize(
    const void *x, sdk_type type, float *y, size_t channels, const float *scale,
    const float *shift, int silu) {
#define CALL(t) normalize_body(x, t, y, channels, scale, shift, silu)
  BY_TYPE(type, CALL)
#undef CALL
}

// MARK: Winograd, as matrices

/// The transforms of Winograd's method: y = A^T ((G g G^T) * (B^T d B)) A.
typedef struct {
  int edge;          ///< pixels of a tile of y
  double b[6][6];    ///< B^T
  double g[6][3];    ///< G
  double a[4][6];    ///< A^T
} matrices;

/// Built from the points by Toom and Cook's construction.
static matrices matrices_of(int edge) {
  const double points[2][4] = {{1, -1}, {SDK_NEAR, -SDK_NEAR, SDK_FAR, -SDK_FAR}};
  const double *point = points[edge == 4];
  const int size = edge + 2, finite = size - 1;
  matrices m = {.edge = edge};
  for (int i = 0; i < finite; i++) {
    const double x = i == 0 ? 0 : point[i - 1];
    // The product of all z - point but this one, as coefficients, and its value at this one.
    double poly[6] = {1}, scale = 1;
    int degree = 0;
    for (int j = 0; j < finite; j++) {
      if (j == i) continue;
      const double other = j == 0 ? 0 : point[j - 1];
      for (int k = ++degree; k >= 0; k--) poly[k] = (k ? poly[k - 1] : 0) - other * poly[k];
      scale *= x - other;
    }
    for (int k = 0; k <= degree; k++) m.b[i][k] = poly[k];
    for (int k = 0; k < 3; k++) m.g[i][k] = (k ? pow(x, k) : 1) / scale;
    for (int k = 0; k < edge; k++) m.a[k][i] = k ? pow(x, k) : 1;
  }
  if (edge == 2) {
    // Both signs of position 0 are flipped, as F(2x2, 3x3) is published.
    for (int k = 0; k < size; k++) m.b[0][k] = -m.b[0][k];
    for (int k = 0; k < 3; k++) m.g[0][k] = -m.g[0][k];
  }
  double poly[6] = {1};
  int degree = 0;
  for (int j = 0; j < finite; j++) {
    const double other = j == 0 ? 0 : point[j - 1];
    for (int k = ++degree; k >= 0; k--) poly[k] = (k ? poly[k - 1] : 0) - other * poly[k];
  }
  for (int k = 0; k <= degree; k++) m.b[finite][k] = poly[k];
  m.g[finite][2] = 1;
  m.a[edge - 1][finite] = 1;
  return m;
}

static void input(const winograd_input *tile, int edge) {
  const matrices m = matrices_of(edge);
  const int size = edge + 2;
  for (size_t c = 0; c < tile->channels; c++)
    for (int p = 0; p < size; p++)
      for (int q = 0; q < size; q++) {
        double sum = 0;
        for (int i = 0; i < size; i++)
          for (int j = 0; j < size; j++)
            sum += m.b[p][i] * m.b[q][j] * get(tile->pixels[size * i + j], c, tile->type);
        put(tile->v, (size_t)(size * p + q) * tile->position_stride + c, (float)sum, tile->v_type);
      }
}

static void output(const winograd_output *tile, int edge) {
  const matrices m = matrices_of(edge);
  const int size = edge + 2;
  for (size_t c = 0; c < tile->columns; c++)
    for (int i = 0; i < edge; i++)
      for (int j = 0; j < edge; j++) {
        const int at = edge * i + j;
        if (tile->y[at] == NULL) continue;
        double sum = tile->bias[c];
        for (int p = 0; p < size; p++)
          for (int q = 0; q < size; q++)
            sum += m.a[i][p] * m.a[j][q] *
                   tile->m[(size_t)(size * p + q) * tile->position_stride + c];
        if (tile->residual[at]) sum += get(tile->residual[at], c, tile->type);
        put(tile->y[at], c, (float)sum, tile->type);
      }
}

static void weights(const winograd_weights *w, int edge) {
  const matrices m = matrices_of(edge);
  const int size = edge + 2;
  for (size_t k = 0; k < w->inputs; k++)
    for (size_t n = 0; n < SDK_PANEL; n++)
      for (int p = 0; p < size; p++)
        for (int q = 0; q < size; q++) {
          double sum = 0;
          for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++)
              sum += m.g[p][i] * m.g[q][j] *
                     get(w->weights, (3 * i + j) * w->tap_stride + place(k, n, w->type), w->type);
          put(w->u, (size_t)(size * p + q) * w->position_stride + place(k, n, w->u_type),
              (float)sum, w->u_type);
        }
}

static void input2(const winograd_input *tile) { input(tile, 2); }
static void input4(const winograd_input *tile) { input(tile, 4); }
static void output2(const winograd_output *tile) { output(tile, 2); }
static void output4(const winograd_output *tile) { output(tile, 4); }
static void weights2(const winograd_weights *w) { weights(w, 2); }
static void weights4(const winograd_weights *w) { weights(w, 4); }

INLINE void interleave_body(
    const float *const rows[SDK_PANEL], size_t stride, size_t depth, void *packed, sdk_type type) {
  for (size_t k = 0; k < depth; k++)
    for (size_t n = 0; n < SDK_PANEL; n++)
      put(packed, place(k, n, type), rows[n][k * stride], type);
}

static void interleave(
    const float *const rows[SDK_PANEL], size_t stride, size_t depth, void *packed, sdk_type type) {
#define CALL(t) interleave_body(rows, stride, depth, packed, t)
  BY_TYPE(type, CALL)
#undef CALL
}

const product_table sdk_plain_products = {
    .rows = 8,
    .product = product,
    .finish = finish,
    .normalize = normalize,
    .input2 = input2,
    .input4 = input4,
    .output2 = output2,
    .output4 = output4,
    .weights2 = weights2,
    .weights4 = weights4,
    .interleave = interleave,
};
