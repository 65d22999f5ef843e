// How tensors lie in memory: a structure in oneDNN 2.x, an object of the library in 3.x.
#pragma once

#include "library.h"

static inline dnnl_data_type_t onednn_data_type(onednn_type type) {
  return type == onednn_bf16 ? dnnl_bf16 : dnnl_f32;
}

#if DNNL_VERSION_MAJOR == 2
typedef dnnl_memory_desc_t onednn_own_layout;
typedef const dnnl_memory_desc_t *onednn_known_layout;

static inline dnnl_status_t onednn_layout_create(
    onednn_own_layout *layout, int rank, const dnnl_dim_t *dims, onednn_type type,
    dnnl_format_tag_t tag) {
  return dnnl.memory_desc_init_by_tag(layout, rank, dims, onednn_data_type(type), tag);
}
static inline void onednn_layout_destroy(onednn_own_layout *layout) { (void)layout; }
static inline onednn_known_layout onednn_layout_known(const onednn_own_layout *layout) {
  return layout;
}
#else
typedef dnnl_memory_desc_t onednn_own_layout;
typedef const_dnnl_memory_desc_t onednn_known_layout;

static inline dnnl_status_t onednn_layout_create(
    onednn_own_layout *layout, int rank, const dnnl_dim_t *dims, onednn_type type,
    dnnl_format_tag_t tag) {
  return dnnl.memory_desc_create_with_tag(layout, rank, dims, onednn_data_type(type), tag);
}
static inline void onednn_layout_destroy(onednn_own_layout *layout) {
  if (*layout) dnnl.memory_desc_destroy(*layout);
}
static inline onednn_known_layout onednn_layout_known(const onednn_own_layout *layout) {
  return *layout;
}
#endif
