// The versions of each kernel's inner loop, and the choice between them.
#pragma once

#include "kernels.h"

/// The kernels of one instruction set. All work on the calling thread.
typedef struct {
  /// Per channel over all rows: the mean, and the sum of squared distances from it.
  void (*moments)(
      const void *x, sdk_type type, size_t rows, size_t channels, double *mean, double *square);
  /// y = x * scale[c] + shift[c], then SiLU if asked.
  void (*scale_shift)(
      const void *x, void *y, sdk_type type, size_t rows, size_t channels, const float *scale,
      const float *shift, int silu);
  void (*layer_norm)(
      const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
      const float *gamma, const float *beta);
  void (*activation)(const void *x, void *y, sdk_type type, size_t count, sdk_function function);
  void (*geglu)(const void *x, void *y, sdk_type type, size_t rows, size_t channels);
  void (*add)(const void *a, const void *b, void *y, sdk_type type, size_t count);
  void (*add_row)(const void *x, const float *row, void *y, sdk_type type, size_t channels);
  /// Transposes `[rows, columns]` of f32 with given row strides.
  void (*transpose)(
      const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, size_t columns);
  /// Queries in one tile of `attention`.
  size_t tile_queries;
  /// Bytes that `attention` needs for one thread.
  size_t (*attention_scratch)(size_t keys, size_t size);
  /// The queries `first..<first + count` of one head, at most tile_queries; pointers are to
  /// row 0 of that head.
  void (*attention)(
      const sdk_attention_form *form, const void *q, const void *k, const void *v, void *y,
      size_t first, size_t count, void *scratch);
} kernel_table;

extern const kernel_table sdk_plain_kernels;
#if defined(__x86_64__)
extern const kernel_table sdk_avx2_kernels;
extern const kernel_table sdk_avx512_kernels;
extern const kernel_table sdk_avx512_bf16_kernels;
#endif

/// The table of the current level.
const kernel_table *sdk_kernels(void);

/// The address of value `i`.
static inline const char *sdk_at(const void *base, sdk_type type, size_t i) {
  return (const char *)base + i * sdk_type_size(type);
}
static inline char *sdk_at_mutable(void *base, sdk_type type, size_t i) {
  return (char *)base + i * sdk_type_size(type);
}
