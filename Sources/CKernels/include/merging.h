// Token merging: the most similar tokens of an image are averaged before a layer, and each gets the
// layer's result for their mean. Source: Bolya and Hoffman, "Token Merging for Fast Stable
// Diffusion" (2023); bipartite soft matching is from Bolya et al., "Token Merging" (2022).
//
// Each window of 2x2 tokens has one destination. Every other token is compared with all
// destinations by cosine similarity; the tokens nearest to a destination are merged with it. The
// rest keep the image's order. Nothing depends on the number of threads, nor on the other samples
// of a batch.
#pragma once

#include "kernels.h"

/// Which tokens of each sample to merge.
typedef struct {
  const void *x;     ///< [batch, height * width, channels], what is compared
  sdk_type type;     ///< f32 or bf16
  size_t batch, height, width, channels;
  size_t merged;     ///< tokens that go, at most those that are no destination
  uint32_t seed;     ///< chooses each window's destination; 0 takes the first token of each
  int32_t *places;   ///< [batch, height * width]: each token's place among those that are left
  void *scratch;     ///< sdk_matching_scratch bytes, 64-byte aligned
} sdk_matching_form;

/// Windows of an image, cropped at its edges: its destinations.
static inline size_t sdk_windows(size_t height, size_t width) {
  return (height + 1) / 2 * ((width + 1) / 2);
}
size_t sdk_matching_scratch(const sdk_matching_form *form, int threads);
/// Threaded.
void sdk_match_tokens(const sdk_matching_form *form);

size_t sdk_merging_scratch(size_t batch, size_t tokens, size_t left);
/// y[places[i]] is the mean of all x[i] of one place; x is [batch, tokens, channels] and y
/// [batch, left, channels]. Threaded.
void sdk_merge_tokens(
    const void *x, const int32_t *places, void *y, sdk_type type, size_t batch, size_t tokens,
    size_t left, size_t channels, void *scratch);
/// y[i] = residual[i] + x[places[i]], x as sdk_merge_tokens writes it; y may be residual. Threaded.
void sdk_unmerge_tokens(
    const void *x, const int32_t *places, const void *residual, void *y, sdk_type type,
    size_t batch, size_t tokens, size_t left, size_t channels);
