// An instruction set's attention: in tiles, or, if the CPU multiplies bf16 pairs, in pairs.
#pragma once

#include "attention/vector_tiles.h"
#include "kernels.h"
#include "vector/words.h"
#ifdef HAS_BF16_PRODUCTS
#include "attention/vector_pairs.h"
#endif

/// Queries that `any_attention` processes at once.
#ifdef HAS_BF16_PRODUCTS
#define ATTENTION_QUERIES (PAIR_PANELS * SDK_PANEL)
#else
#define ATTENTION_QUERIES TILE
#endif

/// The version for the form's type and size.
VECTOR static void any_attention(
    const sdk_attention_form *form, const void *q, const void *k, const void *v, void *y,
    size_t first, size_t count, void *scratch) {
#ifdef HAS_BF16_PRODUCTS
  // Channels are read in pairs.
  if (form->type == SDK_BF16 && form->size % 2 == 0 && form->q_stride % 2 == 0) {
    attention_pairs(form, q, k, v, y, first, count, scratch);
    return;
  }
#endif
  // If there is attention_pairs, pieces have its size, which is larger.
  while (count > 0) {
    const size_t queries = count < TILE ? count : TILE;
    attention(form, q, k, v, y, first, queries, scratch);
    first += queries;
    count -= queries;
  }
}

VECTOR static size_t any_attention_scratch(size_t keys, size_t size) {
  const size_t bytes = attention_scratch(keys, size);
#ifdef HAS_BF16_PRODUCTS
  const size_t pairs = attention_pairs_scratch(size);
  return pairs > bytes ? pairs : bytes;
#else
  return bytes;
#endif
}
