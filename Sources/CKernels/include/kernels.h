// Kernels that oneDNN lacks, casts, and the thread pool they share with it. What counts and compares
// stored values is in statistics.h.
//
// Pictures are channels-last: `rows` positions of `channels` values each, the samples of a batch
// one after the other. Pointers need no alignment. Every function that says "threaded" splits its
// work over the pool of the OpenMP runtime, which is oneDNN's too, into pieces that do not depend on
// the number of threads, so results do not either.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The type of stored values; arithmetic is in f32 (statistics in f64 where it matters).
typedef enum { SDK_F32 = 0, SDK_F16 = 1, SDK_BF16 = 2 } sdk_type;

/// Bytes of one value.
static inline size_t sdk_type_size(sdk_type type) { return type == SDK_F32 ? 4 : 2; }

// MARK: Instruction sets

/// Which versions of the kernels run. Each level's results agree within rounding.
typedef enum { SDK_PLAIN = 0, SDK_AVX2 = 1, SDK_AVX512 = 2 } sdk_isa;

/// The best level that this CPU has; SDLOOM_ISA=plain|avx2|avx512 in the environment lowers it.
sdk_isa sdk_isa_current(void);
/// The best level that this CPU has, whatever the environment says.
sdk_isa sdk_isa_best(void);
/// Makes `isa`, or the best there is if that is less, the level of all that the calling thread
/// starts from now on, in the pool's threads too. For tests.
void sdk_isa_force(sdk_isa isa);
/// Whether the CPU multiplies bf16 pairs (AVX512_BF16).
int sdk_has_bf16(void);
/// Whether the CPU also multiplies tiles of bf16 (AMX), as Intel's do from Sapphire Rapids on. Their
/// AVX512_BF16 is slower than f32; oneDNN uses the tiles.
int sdk_has_tiles(void);

// MARK: Threads
/// Null, or why the OpenMP runtime (libgomp) cannot be opened: then all work is one thread's. It is
/// opened when one of these functions is first called.
const char *sdk_threads_problem(void);
/// Makes parallel regions that the calling thread starts, ours and oneDNN's, use `count` threads.
void sdk_set_threads(int count);
/// The number of threads that the next parallel region will use.
int sdk_threads(void);

/// Does the items `begin..<end`; `thread` is less than `sdk_threads()`.
typedef void (*sdk_body)(void *context, size_t begin, size_t end, int thread);
/// Calls `body` for disjoint pieces of at most `grain` items that cover `0..<count`, threaded.
void sdk_parallel(size_t count, size_t grain, sdk_body body, void *context);

// MARK: Casts and layouts

/// Casts `count` values, rounding to nearest even; overflow to infinity, NaN stays NaN. Threaded.
void sdk_convert(const void *source, sdk_type from, void *target, sdk_type to, size_t count);
/// The same on the calling thread alone.
void sdk_convert_serial(
    const void *source, sdk_type from, void *target, sdk_type to, size_t count);

/// `[batch, channels, rows]` of f32 to `[batch, rows, channels]` of `type`. Threaded.
void sdk_to_channels_last(
    const float *source, void *target, sdk_type type, size_t batch, size_t channels, size_t rows);
/// `[batch, rows, channels]` of `type` to `[batch, channels, rows]` of f32. Threaded.
void sdk_from_channels_last(
    const void *source, sdk_type type, float *target, size_t batch, size_t channels, size_t rows);

// MARK: Normalisation. Values of x and y are f32 or bf16.

/// Normalisation over groups of channels and all rows of a sample.
typedef struct {
  const void *x;       ///< [batch, rows, channels]
  void *y;             ///< the same shape; may be x
  sdk_type type;
  size_t batch, rows, channels, groups;
  double epsilon;
  int silu;            ///< whether y = v * sigmoid(v) of the normalised value v
  const float *gamma;  ///< [channels]
  const float *beta;   ///< [channels]
  const float *offset; ///< [channels], added to x at every row; may be null
  void *scratch;       ///< sdk_group_norm_scratch bytes, 8-byte aligned
} sdk_group_norm_form;

size_t sdk_group_norm_scratch(size_t batch, size_t rows, size_t channels);
/// Threaded. Statistics are exact to about 1e-7 relative whatever the mean.
void sdk_group_norm(const sdk_group_norm_form *form);

/// The statistics alone: what each channel of x is multiplied by and what is then added, as
/// [batch, 2, channels] in the scratch memory; y and silu are not used. Threaded.
const float *sdk_group_norm_factors(const sdk_group_norm_form *form);

/// Normalisation of each row; x may be y. Threaded.
void sdk_layer_norm(
    const void *x, void *y, sdk_type type, size_t rows, size_t channels, double epsilon,
    const float *gamma, const float *beta);

// MARK: Functions of elements

typedef enum {
  SDK_SILU = 0,        ///< x * sigmoid(x)
  SDK_GELU = 1,        ///< x * (1 + erf(x / sqrt 2)) / 2
  SDK_QUICK_GELU = 2,  ///< x * sigmoid(1.702 x)
  SDK_RELU = 3,        ///< max(x, 0)
  SDK_LATENT_CLAMP = 4,  ///< 3 tanh(x / 3)
} sdk_function;

/// y = function(x); x may be y. Threaded.
void sdk_activation(const void *x, void *y, sdk_type type, size_t count, sdk_function function);
/// y = a * gelu(b) where each row of x is a then b, `channels` each. Threaded.
void sdk_geglu(const void *x, void *y, sdk_type type, size_t rows, size_t channels);
/// y = a + b; either may be y. Threaded.
void sdk_add(const void *a, const void *b, void *y, sdk_type type, size_t count);
/// y = x + row `r mod period` of an f32 table `[period, channels]`; x may be y. Threaded.
void sdk_add_rows(
    const void *x, const float *table, size_t period, void *y, sdk_type type, size_t rows,
    size_t channels);

// MARK: Movement

/// Each row of y is a row of a, then a row of b. Threaded.
void sdk_concatenate(
    const void *a, size_t a_bytes, const void *b, size_t b_bytes, void *y, size_t rows);
/// Nearest-neighbour doubling: y[i, j] = x[i / 2, j / 2]. Threaded.
void sdk_upsample(
    const void *x, void *y, size_t batch, size_t height, size_t width, size_t out_height,
    size_t out_width, size_t pixel_bytes);
/// Sines and cosines of a timestep: frequency i of channels / 2 is
/// exp(-ln(10000) i / (channels / 2 - shift)), computed in f64.
void sdk_timestep_embedding(
    double timestep, float *y, size_t channels, int cosine_first, double shift);

// MARK: Attention

/// softmax(q k^T scale) v for each head, in tiles of queries and keys: no row of scores is ever
/// held whole, except in the plain version.
typedef struct {
  const void *q;  ///< [batch, queries, heads * size], rows q_stride values apart
  const void *k;  ///< [batch, keys, heads * size], rows k_stride values apart
  const void *v;  ///< [batch, keys, heads * size], rows v_stride values apart
  void *y;        ///< [batch, queries, heads * size], rows y_stride values apart
  sdk_type type;
  size_t batch, queries, keys, heads, size;
  size_t q_stride, k_stride, v_stride, y_stride;
  double scale;
  int causal;     ///< whether query i sees only keys up to i
  void *scratch;  ///< sdk_attention_scratch bytes
} sdk_attention_form;

size_t sdk_attention_scratch(size_t keys, size_t size, int threads);
/// Threaded.
void sdk_attention(const sdk_attention_form *form);
