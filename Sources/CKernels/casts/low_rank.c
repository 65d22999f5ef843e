// rows += factor * up * down: each row stays in the L1 cache while the thin matrix is read.
#include "low_rank.h"

#include "kernels.h"

// Values of a row that are completed before the next ones: with `down` of rank 128, 512 KiB.
#define BLOCK 1024

static inline __attribute__((always_inline)) void add_row(
    float *row, size_t width, const float *up, const float *down, size_t rank, float factor) {
  for (size_t first = 0; first < width; first += BLOCK) {
    const size_t count = width - first < BLOCK ? width - first : BLOCK;
    float *restrict y = row + first;
    size_t k = 0;
    // Four at a time, so that a value is loaded and stored once per four.
    for (; k + 4 <= rank; k += 4) {
      const float *a = down + k * width + first, *b = a + width, *c = b + width, *d = c + width;
      const float s = factor * up[k], t = factor * up[k + 1];
      const float u = factor * up[k + 2], v = factor * up[k + 3];
      for (size_t j = 0; j < count; j++) y[j] = (((y[j] + s * a[j]) + t * b[j]) + u * c[j]) + v * d[j];
    }
    for (; k < rank; k++) {
      const float *a = down + k * width + first;
      const float s = factor * up[k];
      for (size_t j = 0; j < count; j++) y[j] += s * a[j];
    }
  }
}

static void add_row_plain(
    float *row, size_t width, const float *up, const float *down, size_t rank, float factor) {
  add_row(row, width, up, down, rank, factor);
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void add_row_avx2(
    float *row, size_t width, const float *up, const float *down, size_t rank, float factor) {
  add_row(row, width, up, down, rank, factor);
}
#endif

typedef struct {
  float *rows;
  size_t width;
  const float *up, *down;
  size_t rank;
  float factor;
  void (*add)(float *, size_t, const float *, const float *, size_t, float);
} work;

static void add_rows(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const work *w = context;
  for (size_t i = begin; i < end; i++)
    w->add(w->rows + i * w->width, w->width, w->up + i * w->rank, w->down, w->rank, w->factor);
}

void sdk_add_low_rank(
    float *rows, size_t count, size_t width, const float *up, const float *down, size_t rank,
    float factor) {
  work w = {rows, width, up, down, rank, factor, add_row_plain};
#if defined(__x86_64__)
  if (sdk_isa_current() >= SDK_AVX2) w.add = add_row_avx2;
#endif
  sdk_parallel(count, 8, add_rows, &w);
}

void sdk_add_low_rank_plain(
    float *rows, size_t count, size_t width, const float *up, const float *down, size_t rank,
    float factor) {
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < rank; k++)
      for (size_t j = 0; j < width; j++)
        rows[i * width + j] += factor * up[i * rank + k] * down[k * width + j];
}
