// The functions of oneDNN that are called, each named once: `dnnl.NAME` is `dnnl_NAME` of the library
// that was opened.
#pragma once

#if !__has_include(<oneapi/dnnl/dnnl.h>)
#error "oneDNN's headers are missing: install libdnnl-dev, or name another oneDNN with SDLOOM_ONEDNN"
#endif
#include <oneapi/dnnl/dnnl.h>

#include "onednn.h"

#if DNNL_VERSION_MAJOR != 2 && DNNL_VERSION_MAJOR != 3
#error "this target is written for oneDNN 2.x and 3.x"
#endif

#define ONEDNN_COMMON(X) \
  X(engine_create) X(stream_create) X(stream_destroy) \
  X(primitive_attr_create) X(primitive_attr_destroy) X(primitive_attr_set_scratchpad_mode) \
  X(primitive_attr_set_post_ops) X(post_ops_create) X(post_ops_destroy) X(post_ops_append_sum) \
  X(primitive_create) X(primitive_destroy) X(primitive_execute) X(primitive_get_primitive_desc) \
  X(primitive_desc_destroy) X(primitive_desc_query) X(primitive_desc_query_md) \
  X(reorder_primitive_desc_create) \
  X(memory_create) X(memory_destroy) X(memory_set_data_handle) X(memory_get_memory_desc) \
  X(memory_desc_equal) X(memory_desc_get_size)

#if DNNL_VERSION_MAJOR == 2
#define ONEDNN_FUNCTIONS(X) \
  ONEDNN_COMMON(X) X(memory_desc_init_by_tag) X(primitive_desc_create) \
  X(convolution_forward_desc_init) X(matmul_desc_init)
#else
#define ONEDNN_FUNCTIONS(X) \
  ONEDNN_COMMON(X) X(memory_desc_create_with_tag) X(memory_desc_destroy) \
  X(convolution_forward_primitive_desc_create) X(matmul_primitive_desc_create)
#endif

/// Filled by `onednn_open`.
typedef struct {
#define MEMBER(name) __typeof__(&dnnl_##name) name;
  ONEDNN_FUNCTIONS(MEMBER)
#undef MEMBER
} onednn_functions;

extern onednn_functions dnnl;

/// The one CPU engine of the process, which oneDNN may use from any thread.
extern dnnl_engine_t onednn_engine;
