// Memory objects: a layout on bytes of the caller.
#include "layouts.h"

onednn_status onednn_memory_create(
    int rank, const int64_t *dims, onednn_type type, onednn_order order, void *bytes,
    onednn_memory *memory) {
  onednn_own_layout layout;
  const dnnl_format_tag_t tag = order == onednn_oihw ? dnnl_oihw : dnnl_ba;
  dnnl_status_t status = onednn_layout_create(&layout, rank, dims, type, tag);
  if (status != dnnl_success) return (onednn_status)status;
  status = dnnl.memory_create(memory, onednn_layout_known(&layout), onednn_engine, bytes);
  onednn_layout_destroy(&layout);
  return (onednn_status)status;
}

static onednn_known_layout layout_of(onednn_primitive primitive, onednn_role role) {
  const_dnnl_primitive_desc_t descriptor = NULL;
  if (dnnl.primitive_get_primitive_desc(primitive, &descriptor) != dnnl_success) return NULL;
  switch (role) {
    case onednn_source: return dnnl.primitive_desc_query_md(descriptor, dnnl_query_src_md, 0);
    case onednn_weights:
      return dnnl.primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0);
    case onednn_bias: return dnnl.primitive_desc_query_md(descriptor, dnnl_query_weights_md, 1);
    case onednn_result: return dnnl.primitive_desc_query_md(descriptor, dnnl_query_dst_md, 0);
    case onednn_working_memory:
      return dnnl.primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
  }
  return NULL;
}

size_t onednn_size(onednn_primitive primitive, onednn_role role) {
  const onednn_known_layout layout = layout_of(primitive, role);
  return layout ? dnnl.memory_desc_get_size(layout) : 0;
}

onednn_status onednn_memory_for(
    onednn_primitive primitive, onednn_role role, void *bytes, onednn_memory *memory) {
  const onednn_known_layout layout = layout_of(primitive, role);
  if (!layout) return onednn_invalid_arguments;
  return (onednn_status)dnnl.memory_create(memory, layout, onednn_engine, bytes);
}

int onednn_fits(onednn_primitive primitive, onednn_role role, onednn_memory memory) {
  onednn_known_layout layout = layout_of(primitive, role), own = NULL;
  return layout && dnnl.memory_get_memory_desc(memory, &own) == dnnl_success &&
         dnnl.memory_desc_equal(layout, own);
}

onednn_status onednn_memory_move(onednn_memory memory, void *bytes) {
  return (onednn_status)dnnl.memory_set_data_handle(memory, bytes);
}

void onednn_memory_destroy(onednn_memory memory) { dnnl.memory_destroy(memory); }
