// Concatenation, upsampling and timestep embedding.
#include <math.h>
#include <string.h>

#include "api/pieces.h"
#include "kernels.h"

typedef struct {
  const char *a, *b;
  char *y;
  size_t a_bytes, b_bytes;
  size_t height, width, out_height, out_width;
} movement;

static void concatenate_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const movement *m = context;
  for (size_t r = begin; r < end; r++) {
    char *row = m->y + r * (m->a_bytes + m->b_bytes);
    memcpy(row, m->a + r * m->a_bytes, m->a_bytes);
    memcpy(row + m->a_bytes, m->b + r * m->b_bytes, m->b_bytes);
  }
}

void sdk_concatenate(
    const void *a, size_t a_bytes, const void *b, size_t b_bytes, void *y, size_t rows) {
  movement m = {.a = a, .b = b, .y = y, .a_bytes = a_bytes, .b_bytes = b_bytes};
  sdk_parallel(rows, sdk_rows_in_piece((a_bytes + b_bytes) / 4), concatenate_piece, &m);
}

static void upsample_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const movement *m = context;
  const size_t pixel = m->a_bytes;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / m->out_height, row = i % m->out_height;
    const char *from = m->a + (batch * m->height + row / 2) * m->width * pixel;
    char *to = m->y + i * m->out_width * pixel;
    for (size_t column = 0; column < m->out_width; column++)
      memcpy(to + column * pixel, from + column / 2 * pixel, pixel);
  }
}

void sdk_upsample(
    const void *x, void *y, size_t batch, size_t height, size_t width, size_t out_height,
    size_t out_width, size_t pixel_bytes) {
  movement m = {.a = x, .y = y, .a_bytes = pixel_bytes, .height = height, .width = width,
                .out_height = out_height, .out_width = out_width};
  sdk_parallel(batch * out_height, 1, upsample_piece, &m);
}

void sdk_timestep_embedding(
    double timestep, float *y, size_t channels, int cosine_first, double shift) {
  const size_t half = channels / 2;
  float *sines = y + (cosine_first ? half : 0), *cosines = y + (cosine_first ? 0 : half);
  for (size_t i = 0; i < half; i++) {
    const double angle = timestep * exp(-log(10000.0) * (double)i / ((double)half - shift));
    sines[i] = (float)sin(angle);
    cosines[i] = (float)cos(angle);
  }
  // An odd width ends with a zero.
  if (channels % 2) y[channels - 1] = 0;
}
