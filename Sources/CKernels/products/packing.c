// Weights from their published layout to panels.
#include <string.h>

#include "api/kernel_table.h"
#include "api/product_table.h"

/// Inputs packed at once: with 9 taps the rows of a panel fit in the L2 cache.
#define BLOCK 64
/// Outputs of each half of a gated panel.
#define HALF (SDK_PANEL / 2)

static size_t positions(sdk_method method, size_t taps) {
  return method == SDK_DIRECT ? taps : method == SDK_WINOGRAD2 ? 16 : 36;
}

static size_t panel_count(size_t outputs) { return (outputs + SDK_PANEL - 1) / SDK_PANEL; }

size_t sdk_packed_size(const sdk_packing *form) {
  return panel_count(form->outputs) * positions(form->method, form->taps) * form->inputs *
         SDK_PANEL * sdk_type_size(form->type);
}

/// The output in row `r` of a panel.
static size_t output_of(const sdk_packing *f, size_t panel, size_t r) {
  if (!f->gated) return panel * SDK_PANEL + r;
  return panel * HALF + (r < HALF ? r : r - HALF + f->outputs / 2);
}

typedef struct {
  const sdk_packing *form;
  char *packed;
} packing;

static void pack_panel(void *context, size_t begin, size_t end, int thread) {
  (void)thread;
  const packing *p = context;
  const sdk_packing *f = p->form;
  const product_table *table = sdk_products();
  const size_t width = sdk_type_size(f->type), places = positions(f->method, f->taps);
  // f32 in place if the tensor is aligned.
  const int in_place = f->source_type == SDK_F32 && (uintptr_t)f->source % sizeof(float) == 0;
  float values[SDK_PANEL][BLOCK * 9], taps[9 * BLOCK * SDK_PANEL];
  static const float zeros[BLOCK * 9];
  for (size_t panel = begin; panel < end; panel++) {
    char *to = p->packed + panel * places * f->inputs * SDK_PANEL * width;
    for (size_t k = 0; k < f->inputs; k += BLOCK) {
      const size_t depth = f->inputs - k < BLOCK ? f->inputs - k : BLOCK;
      const float *rows[SDK_PANEL], *shifted[SDK_PANEL];
      for (size_t r = 0; r < SDK_PANEL; r++) {
        const size_t output = output_of(f, panel, r);
        const size_t at = (output * f->inputs + k) * f->taps;
        if (output >= f->outputs) {
          rows[r] = zeros;
        } else if (in_place) {
          rows[r] = (const float *)f->source + at;
        } else {
          sdk_convert_serial(
              sdk_at(f->source, f->source_type, at), f->source_type, values[r], SDK_F32,
              depth * f->taps);
          rows[r] = values[r];
        }
      }
      for (size_t tap = 0; tap < f->taps; tap++) {
        for (size_t r = 0; r < SDK_PANEL; r++) shifted[r] = rows[r] + tap;
        if (f->method == SDK_DIRECT)
          table->interleave(
              shifted, f->taps, depth, to + (tap * f->inputs + k) * SDK_PANEL * width, f->type);
        else
          table->interleave(shifted, f->taps, depth, taps + tap * BLOCK * SDK_PANEL, SDK_F32);
      }
      if (f->method == SDK_DIRECT) continue;
      const winograd_weights w = {
          .weights = taps, .tap_stride = BLOCK * SDK_PANEL, .u = to + k * SDK_PANEL * width,
          .position_stride = f->inputs * SDK_PANEL, .inputs = depth, .type = SDK_F32,
          .u_type = f->type};
      if (f->method == SDK_WINOGRAD2) table->weights2(&w);
      else table->weights4(&w);
    }
  }
}

void sdk_pack(const sdk_packing *form, void *packed) {
  packing p = {form, packed};
  sdk_parallel(panel_count(form->outputs), 1, pack_panel, &p);
}
