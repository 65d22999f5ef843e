// Casts and changes of layout, in pieces for threads.
#include <string.h>

#include "api/kernel_table.h"
#include "api/pieces.h"
#include "casts.h"

// MARK: Casts

typedef struct {
  const void *source;
  void *target;
  sdk_type from, to;
} cast;

static void cast_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const cast *c = context;
  sdk_convert_serial(
      sdk_at(c->source, c->from, begin), c->from, sdk_at_mutable(c->target, c->to, begin), c->to,
      end - begin);
}

void sdk_convert(const void *source, sdk_type from, void *target, sdk_type to, size_t count) {
  cast c = {source, target, from, to};
  sdk_parallel(count, 4 * SDK_PIECE, cast_piece, &c);
}

void sdk_convert_serial(
    const void *source, sdk_type from, void *target, sdk_type to, size_t count) {
  if (from == to) {
    memcpy(target, source, count * sdk_type_size(from));
  } else if (to == SDK_F32) {
    if (from == SDK_F16) sdk_cast_f16_f32(source, target, count);
    else sdk_cast_bf16_f32(source, target, count);
  } else if (from == SDK_F32) {
    if (to == SDK_F16) sdk_cast_f32_f16(source, target, count);
    else sdk_cast_f32_bf16(source, target, count);
  } else {
    // Between the two 16-bit types through f32, which represents both exactly.
    float values[256];
    for (size_t i = 0; i < count; i += 256) {
      const size_t n = count - i < 256 ? count - i : 256;
      sdk_convert_serial(sdk_at(source, from, i), from, values, SDK_F32, n);
      sdk_convert_serial(values, SDK_F32, sdk_at_mutable(target, to, i), to, n);
    }
  }
}

// MARK: Layouts

/// Rows converted at a time.
#define LAYOUT_ROWS 64

typedef struct {
  const void *source;
  void *target;
  sdk_type type;
  size_t channels, rows;
} layout_change;

static void to_channels_last_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const layout_change *c = context;
  const size_t blocks = (c->rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / blocks, first = i % blocks * LAYOUT_ROWS;
    const size_t rows = c->rows - first < LAYOUT_ROWS ? c->rows - first : LAYOUT_ROWS;
    const float *from = (const float *)c->source + batch * c->channels * c->rows + first;
    const size_t at = (batch * c->rows + first) * c->channels;
    if (c->type == SDK_F32) {
      sdk_kernels()->transpose(
          from, c->rows, (float *)c->target + at, c->channels, c->channels, rows);
      continue;
    }
    // A few channels at a time, through f32.
    for (size_t r = 0; r < rows; r++)
      for (size_t channel = 0; channel < c->channels; channel += 64) {
        float values[64];
        const size_t n = c->channels - channel < 64 ? c->channels - channel : 64;
        for (size_t k = 0; k < n; k++) values[k] = from[(channel + k) * c->rows + r];
        sdk_convert_serial(
            values, SDK_F32, sdk_at_mutable(c->target, c->type, at + r * c->channels + channel),
            c->type, n);
      }
  }
}

void sdk_to_channels_last(
    const float *source, void *target, sdk_type type, size_t batch, size_t channels, size_t rows) {
  layout_change c = {source, target, type, channels, rows};
  sdk_parallel(
      batch * ((rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS), 4, to_channels_last_piece, &c);
}

static void from_channels_last_piece(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const layout_change *c = context;
  const size_t blocks = (c->rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS;
  for (size_t i = begin; i < end; i++) {
    const size_t batch = i / blocks, first = i % blocks * LAYOUT_ROWS;
    const size_t rows = c->rows - first < LAYOUT_ROWS ? c->rows - first : LAYOUT_ROWS;
    float *to = (float *)c->target + batch * c->channels * c->rows + first;
    const size_t at = (batch * c->rows + first) * c->channels;
    if (c->type == SDK_F32) {
      sdk_kernels()->transpose(
          (const float *)c->source + at, c->channels, to, c->rows, rows, c->channels);
      continue;
    }
    for (size_t r = 0; r < rows; r++)
      for (size_t channel = 0; channel < c->channels; channel += 64) {
        float values[64];
        const size_t n = c->channels - channel < 64 ? c->channels - channel : 64;
        sdk_convert_serial(
            sdk_at(c->source, c->type, at + r * c->channels + channel), c->type, values, SDK_F32,
            n);
        for (size_t k = 0; k < n; k++) to[(channel + k) * c->rows + r] = values[k];
      }
  }
}

void sdk_from_channels_last(
    const void *source, sdk_type type, float *target, size_t batch, size_t channels, size_t rows) {
  layout_change c = {source, target, type, channels, rows};
  sdk_parallel(
      batch * ((rows + LAYOUT_ROWS - 1) / LAYOUT_ROWS), 4, from_channels_last_piece, &c);
}
