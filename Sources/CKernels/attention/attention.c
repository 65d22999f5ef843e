// Attention, in tiles of queries for threads.
#include "api/kernel_table.h"

typedef struct {
  const sdk_attention_form *form;
  size_t tiles, thread_bytes;
} attention_form;

/// Memory for one thread, in whole cache lines, so that threads do not share any.
static size_t attention_thread_bytes(size_t keys, size_t size) {
  return (sdk_kernels()->attention_scratch(keys, size) + 63) / 64 * 64;
}

size_t sdk_attention_scratch(size_t keys, size_t size, int threads) {
  return (size_t)threads * attention_thread_bytes(keys, size);
}

static void attention_piece(void *context, size_t begin, size_t end, int thread) {
  const attention_form *a = context;
  const sdk_attention_form *f = a->form;
  const kernel_table *kernels = sdk_kernels();
  for (size_t i = begin; i < end; i++) {
    // Tiles of one head are processed consecutively, so that its keys and values stay in the
    // caches.
    const size_t first = i % a->tiles * kernels->tile_queries, head = i / a->tiles % f->heads;
    const size_t batch = i / a->tiles / f->heads, at = head * f->size;
    const size_t left = f->queries - first;
    kernels->attention(
        f, sdk_at(f->q, f->type, batch * f->queries * f->q_stride + at),
        sdk_at(f->k, f->type, batch * f->keys * f->k_stride + at),
        sdk_at(f->v, f->type, batch * f->keys * f->v_stride + at),
        sdk_at_mutable(f->y, f->type, batch * f->queries * f->y_stride + at), first,
        left < kernels->tile_queries ? left : kernels->tile_queries,
        (char *)f->scratch + (size_t)thread * a->thread_bytes);
  }
}

void sdk_attention(const sdk_attention_form *form) {
  const size_t tile = sdk_kernels()->tile_queries;
  attention_form a = {
      form, (form->queries + tile - 1) / tile, attention_thread_bytes(form->keys, form->size)};
  sdk_parallel(form->batch * form->heads * a.tiles, 1, attention_piece, &a);
}
