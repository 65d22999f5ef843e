// Transposition of matrices of f32, square by square.
#pragma once

#include <stddef.h>

#include "vector/words.h"

VECTOR static void transpose(
    const float *x, size_t x_stride, float *y, size_t y_stride, size_t rows, size_t columns) {
  const size_t whole_rows = rows - rows % WIDTH, whole_columns = columns - columns % WIDTH;
  for (size_t r = 0; r < whole_rows; r += WIDTH)
    for (size_t c = 0; c < whole_columns; c += WIDTH)
      v_transpose(x + r * x_stride + c, x_stride, y + c * y_stride + r, y_stride);
  for (size_t r = 0; r < rows; r++)
    for (size_t c = r < whole_rows ? whole_columns : 0; c < columns; c++)
      y[c * y_stride + r] = x[r * x_stride + c];
}
