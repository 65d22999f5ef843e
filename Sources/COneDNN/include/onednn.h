// oneDNN's convolutions, matrix products and reorders, from a library that is opened when it is first
// needed. The types are our own: nothing outside this target depends on oneDNN's headers or version.
#pragma once

#include <stddef.h>
#include <stdint.h>

// MARK: The library

typedef enum {
  onednn_opened = 0,
  onednn_missing,        // the dynamic loader cannot open it
  onednn_incomplete,     // it lacks a function
  onednn_other_version,  // its major version is not that of the headers
  onednn_other_runtime,  // its threads are not its own: built for SYCL or a caller's thread pool
  onednn_no_cpu,         // it has no engine for this CPU
} onednn_outcome;

/// The library, or why there is none.
typedef struct {
  onednn_outcome outcome;
  int built_major;          ///< the major version that this code was compiled for
  int major, minor, patch;  ///< of the library that was found, else 0
  int is_named;             ///< whether SDLOOM_ONEDNN says where it is
  char path[512];           ///< what was found, else what was looked for
  char detail[512];         ///< the dynamic loader's words, or the function that is missing
} onednn_library;

/// Opens oneDNN at the first call; no other function may be called unless it is `onednn_opened`.
///
/// SDLOOM_ONEDNN in the environment names the library, or the folder that has it in `lib`; else the
/// dynamic loader looks for `libdnnl.so.MAJOR`.
const onednn_library *onednn_open(void);

// MARK: Forms

/// oneDNN's own numbers; others than these are passed on as they are.
typedef enum {
  onednn_success = 0,
  onednn_out_of_memory = 1,
  onednn_invalid_arguments = 2,
  onednn_unimplemented = 3,
} onednn_status;

typedef enum { onednn_f32 = 0, onednn_bf16 } onednn_type;

/// How a tensor's values lie: the order of its dimensions, outermost first.
typedef enum {
  onednn_oihw = 0,  // a convolution's weights as checkpoints have them
  onednn_ba,        // a transposed matrix: stored [outputs, inputs], seen as [inputs, outputs]
} onednn_order;

/// A convolution of a channels-last picture; kernel and stride are the same in both directions.
typedef struct {
  int64_t batch, in_channels, in_height, in_width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel, stride;
  int64_t pad_top, pad_left, pad_bottom, pad_right;
  onednn_type source_type, weights_type, result_type;  // the bias is f32
  int has_bias;
  int accumulate;         // whether the result is added to what the output holds
} onednn_convolution;

/// result [rows, columns] = source [rows, depth] * weights [depth, columns] + bias [columns]
typedef struct {
  int64_t rows, depth, columns;
  onednn_type source_type, weights_type, result_type;  // the bias is f32
  int has_bias;
  int accumulate;
} onednn_matmul;

/// The tensors of a primitive. A reorder reads its source and writes its result.
typedef enum {
  onednn_source = 0, onednn_weights, onednn_bias, onednn_result, onednn_working_memory,
} onednn_role;

// The library's objects, by the names that its header gives to what they point to.
typedef struct dnnl_stream *onednn_stream;
typedef struct dnnl_primitive *onednn_primitive;
typedef struct dnnl_memory *onednn_memory;

typedef struct {
  onednn_role role;
  onednn_memory memory;
} onednn_argument;

// MARK: Primitives

/// The weights' layout is for the primitive to choose; pictures are channels-last.
onednn_status onednn_convolution_create(
    const onednn_convolution *form, onednn_primitive *primitive);

/// The weights' layout is for the primitive to choose; the others are plain rows.
onednn_status onednn_matmul_create(const onednn_matmul *form, onednn_primitive *primitive);

/// The primitive that copies from one memory's layout and type to another's.
onednn_status onednn_reorder_create(
    onednn_memory from, onednn_memory to, onednn_primitive *primitive);

/// Which implementation oneDNN chose, as in `brgconv:avx512_core`; for profiles.
const char *onednn_implementation(onednn_primitive primitive);

/// Runs a primitive. `arguments` has at most one of each role.
onednn_status onednn_execute(
    onednn_primitive primitive, onednn_stream stream, int count,
    const onednn_argument *arguments);

void onednn_primitive_destroy(onednn_primitive primitive);

/// Each stream is one thread's at a time.
onednn_status onednn_stream_create(onednn_stream *stream);
void onednn_stream_destroy(onednn_stream stream);

// MARK: Memory

/// A memory object on our own bytes, with its values in this order.
onednn_status onednn_memory_create(
    int rank, const int64_t *dims, onednn_type type, onednn_order order, void *bytes,
    onednn_memory *memory);

/// A memory object for the primitive's tensor `role`, on our own bytes: `onednn_size` of them.
onednn_status onednn_memory_for(
    onednn_primitive primitive, onednn_role role, void *bytes, onednn_memory *memory);

/// Bytes of the primitive's tensor `role`, in the layout that it asks for; 0 where it has none.
size_t onednn_size(onednn_primitive primitive, onednn_role role);

/// Whether `memory` has the layout that the primitive asks for its tensor `role`.
int onednn_fits(onednn_primitive primitive, onednn_role role, onednn_memory memory);

/// Moves a memory object to other bytes.
onednn_status onednn_memory_move(onednn_memory memory, void *bytes);

void onednn_memory_destroy(onednn_memory memory);
