// The inner loops of matmuls and convolutions, in a version for each instruction set.
#pragma once

#include "products.h"

/// c[r, :] += sum over taps and depth of a[r, tap, k] * b[tap, k, :] for rows of one panel.
typedef struct {
  const void *a;
  size_t stride;          ///< values between rows of a
  const size_t *offsets;  ///< [taps], values from a row's start to a tap's
  size_t taps, depth;
  const void *b;          ///< [taps, depth, SDK_PANEL], in bf16 in pairs of depth
  float *c;               ///< [rows, SDK_PANEL]
  int accumulate;         ///< whether c counts, else it is written over
} product_tile;

/// What happens to the sums of one panel.
typedef struct {
  const float *bias;     ///< of the panel; may be null
  const float *gate_bias;
  const void *residual;  ///< first value of the panel in the first row; may be null
  void *y;
  sdk_type type;
  size_t stride;         ///< values between rows of y and of residual
  size_t columns;        ///< of y
  int gated;
} product_finish;

/// A tile of an image with a border of one in a transform: (edge + 2)^2 pixels in, edge^2 pixels
/// out. Positions are those of the transformed tile.
typedef struct {
  const void *pixels[36];  ///< a row of channels each, of zeros beyond the picture
  sdk_type type;           ///< of pixels
  size_t channels;
  void *v;                 ///< the tile's row at position 0
  sdk_type v_type;         ///< f32 only where type is
  size_t position_stride;  ///< values between positions
} winograd_input;

typedef struct {
  const float *m;          ///< [positions, tiles, SDK_PANEL] at the tile's row
  size_t position_stride;
  const float *bias;       ///< of the panel
  void *y[16];             ///< the tile's pixels in y at the panel; null beyond the picture
  const void *residual[16];
  sdk_type type;
  size_t columns;
} winograd_output;

/// Weights of one panel, `inputs` of them, from taps to positions.
typedef struct {
  const void *weights;  ///< [9, tap_stride / SDK_PANEL inputs, SDK_PANEL], in bf16 in pairs
  size_t tap_stride;    ///< values between taps
  void *u;              ///< [positions, inputs, SDK_PANEL]
  size_t position_stride;
  size_t inputs;        ///< even
  sdk_type type;
  sdk_type u_type;      ///< f32 only where type is
} winograd_weights;

/// One instruction set's version.
typedef struct {
  /// The maximum number of rows that `product` processes at once.
  size_t rows;
  void (*product)(const product_tile *tile, sdk_type type, size_t rows);
  void (*finish)(const product_finish *finish, const float *c, size_t rows);
  /// y = x * scale + shift, then SiLU if asked, for one pixel; y is f32.
  void (*normalize)(
      const void *x, sdk_type type, float *y, size_t channels, const float *scale,
      const float *shift, int silu);
  void (*input2)(const winograd_input *tile);
  void (*input4)(const winograd_input *tile);
  void (*output2)(const winograd_output *tile);
  void (*output4)(const winograd_output *tile);
  void (*weights2)(const winograd_weights *weights);
  void (*weights4)(const winograd_weights *weights);
  /// Interleaves SDK_PANEL rows of `depth` f32 values, `stride` apart, as in packed weights.
  void (*interleave)(
      const float *const rows[SDK_PANEL], size_t stride, size_t depth, void *packed,
      sdk_type type);
} product_table;

extern const product_table sdk_plain_products;
#if defined(__x86_64__)
extern const product_table sdk_avx2_products;
extern const product_table sdk_avx512_products;
extern const product_table sdk_avx512_bf16_products;
#endif

/// The table of the current level.
const product_table *sdk_products(void);

// Convolutions of one method each; scratch in bytes.
size_t sdk_direct_scratch(const sdk_convolution_form *form);
void sdk_direct(const sdk_convolution_form *form);
size_t sdk_winograd_scratch(const sdk_convolution_form *form, int threads);
void sdk_winograd(const sdk_convolution_form *form);

// F(4x4, 3x3) on the points 0, +-SDK_NEAR, +-SDK_FAR and infinity; F(2x2, 3x3) on 0, +-1 and
// infinity. The points are chosen for small rounding errors.
#define SDK_NEAR 0.625f
#define SDK_FAR 1.5f
