// Matmuls and convolutions on weights that were packed for them.
//
// Weights are in panels of SDK_PANEL output channels, with zeros in the last if it is not full. In
// a panel the channels of one input are consecutive; in bf16, pairs of inputs are, as the CPU
// multiplies them. The layout is the same for every instruction set.
//
// Each result is summed in one order, whatever the number of threads.
#pragma once

#include "kernels.h"

/// Output channels in one panel of packed weights.
#define SDK_PANEL 32

/// How a 3x3 convolution is computed.
typedef enum {
  SDK_DIRECT = 0,    ///< as it is written
  SDK_WINOGRAD2 = 2, ///< F(2x2, 3x3): 2.25 times fewer multiplications
  SDK_WINOGRAD4 = 4, ///< F(4x4, 3x3): 4 times fewer, with larger rounding errors
} sdk_method;

// MARK: Packing

/// Weights as published, `[outputs, inputs, taps]`: 1 tap for a matrix, 9 for a convolution of 3x3.
typedef struct {
  const void *source;
  sdk_type source_type;
  size_t outputs, inputs, taps;
  sdk_type type;     ///< of the packed weights: f32 or bf16, where inputs must be even
  sdk_method method; ///< for SDK_WINOGRAD*, transformed weights; taps must be 9
  int gated;         ///< whether a panel is half of outputs, half of those that gate them (GEGLU)
} sdk_packing;

size_t sdk_packed_size(const sdk_packing *form);
/// Threaded.
void sdk_pack(const sdk_packing *form, void *packed);

// MARK: Products

/// y = x * weights + bias + residual.
typedef struct {
  const void *x;         ///< [rows, depth]
  sdk_type type;         ///< of x and weights
  void *y;               ///< [rows, columns], or half the columns where gated
  sdk_type y_type;       ///< of y and residual
  size_t rows, depth, columns;
  const void *weights;
  const float *bias;     ///< [columns]; may be null
  const void *residual;  ///< of y's shape; may be y or null
  int gated;             ///< y = a * gelu(b), where columns are a then b
} sdk_product_form;

/// Threaded.
void sdk_product(const sdk_product_form *form);

/// A 3x3 convolution with a border of zeros.
typedef struct {
  const void *x;         ///< [batch, height, width, inputs]
  sdk_type x_type;       ///< as type, or bf16 with factors and SDK_WINOGRAD* in f32
  sdk_type type;         ///< of weights, and of what they multiply
  void *y;               ///< [batch, out_height, out_width, outputs]
  sdk_type y_type;       ///< of y and residual
  size_t batch, height, width, inputs, outputs;
  size_t out_height, out_width, stride;
  size_t pad_top, pad_left;
  const float *factors;  ///< [batch, 2, inputs], what x is multiplied by and what is added; may be null
  int silu;              ///< whether SiLU follows those
  int doubled;           ///< whether x has half the height and width, and each pixel counts four times
  sdk_method method;     ///< SDK_WINOGRAD* only for stride 1 and borders of 1
  int transformed;       ///< whether the weights were packed for the method; else for SDK_DIRECT
  const void *weights;
  const float *bias;     ///< [outputs]
  const void *residual;  ///< of y's shape; may be y or null
  void *scratch;         ///< sdk_convolution_scratch bytes, 64-byte aligned
} sdk_convolution_form;

/// Whether there is a method for it: inputs and outputs must be multiples of 16.
int sdk_convolution_supported(const sdk_convolution_form *form);
size_t sdk_convolution_scratch(const sdk_convolution_form *form, int threads);
/// Threaded.
void sdk_convolution(const sdk_convolution_form *form);
