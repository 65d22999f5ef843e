// oneDNN's C API, and the few calls whose form differs between its versions behind functions of
// our own: descriptors are made and queried here and nowhere else.
#pragma once

#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR != 2 && DNNL_VERSION_MAJOR != 3
#error "this shim is written for oneDNN 2.x and 3.x"
#endif
// On SYCL a primitive has not run when its call returns, and its threads are not libgomp's.
#if !defined(DNNL_RUNTIME_SYCL) || !defined(DNNL_RUNTIME_THREADPOOL)
#error "this oneDNN does not say what it runs on"
#elif DNNL_CPU_RUNTIME == DNNL_RUNTIME_SYCL || DNNL_CPU_RUNTIME == DNNL_RUNTIME_THREADPOOL
#error "this oneDNN runs on SYCL or a thread pool; take one that was built for OpenMP or TBB"
#endif

// A layout is a structure in 2.x, an object of the library in 3.x.
#if DNNL_VERSION_MAJOR == 2
typedef dnnl_memory_desc_t onednn_own_layout;
typedef const dnnl_memory_desc_t *onednn_known_layout;

static inline dnnl_status_t onednn_layout_create(
    onednn_own_layout *layout, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
    dnnl_format_tag_t tag) {
  return dnnl_memory_desc_init_by_tag(layout, rank, dims, type, tag);
}
static inline void onednn_layout_destroy(onednn_own_layout *layout) { (void)layout; }
static inline onednn_known_layout onednn_layout_known(const onednn_own_layout *layout) {
  return layout;
}
#else
typedef dnnl_memory_desc_t onednn_own_layout;
typedef const_dnnl_memory_desc_t onednn_known_layout;

static inline dnnl_status_t onednn_layout_create(
    onednn_own_layout *layout, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
    dnnl_format_tag_t tag) {
  return dnnl_memory_desc_create_with_tag(layout, rank, dims, type, tag);
}
static inline void onednn_layout_destroy(onednn_own_layout *layout) {
  if (*layout) dnnl_memory_desc_destroy(*layout);
}
static inline onednn_known_layout onednn_layout_known(const onednn_own_layout *layout) {
  return *layout;
}
#endif

/// A convolution of a channels-last picture; kernel and stride are the same in both directions.
typedef struct {
  dnnl_dim_t batch, in_channels, in_height, in_width;
  dnnl_dim_t out_channels, out_height, out_width;
  dnnl_dim_t kernel, stride;
  dnnl_dim_t pad_top, pad_left, pad_bottom, pad_right;
  dnnl_data_type_t source_type, weights_type, result_type;  // the bias is f32
  int has_bias;
  int accumulate;         // whether the result is added to what the output holds
} onednn_convolution;

/// result [rows, columns] = source [rows, depth] * weights [depth, columns] + bias [columns]
typedef struct {
  dnnl_dim_t rows, depth, columns;
  dnnl_data_type_t source_type, weights_type, result_type;  // the bias is f32
  int has_bias;
  int accumulate;
} onednn_matmul;

/// The tensors of a primitive; the number is an index among those of its kind.
typedef enum { onednn_source = 0, onednn_weights, onednn_bias, onednn_result } onednn_role;

/// Attributes common to all: scratchpads are ours, so that one serves every primitive.
static inline dnnl_status_t onednn_attributes(int accumulate, dnnl_primitive_attr_t *attributes) {
  dnnl_status_t status = dnnl_primitive_attr_create(attributes);
  if (status != dnnl_success) return status;
  status = dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
  if (status == dnnl_success && accumulate) {
    dnnl_post_ops_t operations = NULL;
    status = dnnl_post_ops_create(&operations);
#if DNNL_VERSION_MAJOR == 2
    if (status == dnnl_success) status = dnnl_post_ops_append_sum(operations, 1.0f);
#else
    if (status == dnnl_success)
      status = dnnl_post_ops_append_sum(operations, 1.0f, 0, dnnl_data_type_undef);
#endif
    if (status == dnnl_success)
      status = dnnl_primitive_attr_set_post_ops(*attributes, operations);
    if (operations != NULL) dnnl_post_ops_destroy(operations);
  }
  if (status != dnnl_success) {
    dnnl_primitive_attr_destroy(*attributes);
    *attributes = NULL;
  }
  return status;
}

/// The layouts of an operation's tensors.
typedef struct {
  onednn_own_layout source, weights, bias, result;
} onednn_layouts;

static inline void onednn_layouts_destroy(onednn_layouts *layouts) {
  onednn_layout_destroy(&layouts->source);
  onednn_layout_destroy(&layouts->weights);
  onednn_layout_destroy(&layouts->bias);
  onednn_layout_destroy(&layouts->result);
}

/// Makes the primitive of a descriptor that was made with `status`, and lets the descriptor go.
static inline dnnl_status_t onednn_finish(
    dnnl_status_t status, dnnl_primitive_desc_t descriptor, dnnl_primitive_attr_t attributes,
    dnnl_primitive_t *primitive) {
  dnnl_primitive_attr_destroy(attributes);
  if (status != dnnl_success) return status;
  status = dnnl_primitive_create(primitive, descriptor);
  dnnl_primitive_desc_destroy(descriptor);
  return status;
}

/// The weights' layout is for the primitive to choose; pictures are channels-last.
static inline dnnl_status_t onednn_convolution_create(
    const onednn_convolution *form, dnnl_engine_t engine, dnnl_primitive_t *primitive) {
  const dnnl_dims_t source_dims = {form->batch, form->in_channels, form->in_height, form->in_width};
  const dnnl_dims_t weights_dims = {
      form->out_channels, form->in_channels, form->kernel, form->kernel};
  const dnnl_dims_t bias_dims = {form->out_channels};
  const dnnl_dims_t result_dims = {
      form->batch, form->out_channels, form->out_height, form->out_width};
  const dnnl_dims_t strides = {form->stride, form->stride};
  const dnnl_dims_t before = {form->pad_top, form->pad_left};
  const dnnl_dims_t after = {form->pad_bottom, form->pad_right};
  onednn_layouts l = {0};
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t descriptor = NULL;
  dnnl_status_t status;
  if (!(status = onednn_layout_create(&l.source, 4, source_dims, form->source_type, dnnl_nhwc)) &&
      !(status = onednn_layout_create(
            &l.weights, 4, weights_dims, form->weights_type, dnnl_format_tag_any)) &&
      !(status = onednn_layout_create(&l.bias, 1, bias_dims, dnnl_f32, dnnl_a)) &&
      !(status = onednn_layout_create(&l.result, 4, result_dims, form->result_type, dnnl_nhwc)) &&
      !(status = onednn_attributes(form->accumulate, &attributes))) {
#if DNNL_VERSION_MAJOR == 2
    dnnl_convolution_desc_t description;
    status = dnnl_convolution_forward_desc_init(
        &description, dnnl_forward_inference, dnnl_convolution_direct, &l.source, &l.weights,
        form->has_bias ? &l.bias : NULL, &l.result, strides, before, after);
    if (status == dnnl_success)
      status = dnnl_primitive_desc_create(&descriptor, &description, attributes, engine, NULL);
#else
    const dnnl_dims_t dilation = {0, 0};
    status = dnnl_convolution_forward_primitive_desc_create(
        &descriptor, engine, dnnl_forward_inference, dnnl_convolution_direct, l.source, l.weights,
        form->has_bias ? l.bias : NULL, l.result, strides, dilation, before, after, attributes);
#endif
    status = onednn_finish(status, descriptor, attributes, primitive);
  }
  onednn_layouts_destroy(&l);
  return status;
}

/// The weights' layout is for the primitive to choose; the others are plain rows.
static inline dnnl_status_t onednn_matmul_create(
    const onednn_matmul *form, dnnl_engine_t engine, dnnl_primitive_t *primitive) {
  const dnnl_dims_t source_dims = {form->rows, form->depth};
  const dnnl_dims_t weights_dims = {form->depth, form->columns};
  const dnnl_dims_t bias_dims = {1, form->columns};
  const dnnl_dims_t result_dims = {form->rows, form->columns};
  onednn_layouts l = {0};
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t descriptor = NULL;
  dnnl_status_t status;
  if (!(status = onednn_layout_create(&l.source, 2, source_dims, form->source_type, dnnl_ab)) &&
      !(status = onednn_layout_create(
            &l.weights, 2, weights_dims, form->weights_type, dnnl_format_tag_any)) &&
      !(status = onednn_layout_create(&l.bias, 2, bias_dims, dnnl_f32, dnnl_ab)) &&
      !(status = onednn_layout_create(&l.result, 2, result_dims, form->result_type, dnnl_ab)) &&
      !(status = onednn_attributes(form->accumulate, &attributes))) {
#if DNNL_VERSION_MAJOR == 2
    dnnl_matmul_desc_t description;
    status = dnnl_matmul_desc_init(
        &description, &l.source, &l.weights, form->has_bias ? &l.bias : NULL, &l.result);
    if (status == dnnl_success)
      status = dnnl_primitive_desc_create(&descriptor, &description, attributes, engine, NULL);
#else
    status = dnnl_matmul_primitive_desc_create(
        &descriptor, engine, l.source, l.weights, form->has_bias ? l.bias : NULL, l.result,
        attributes);
#endif
    status = onednn_finish(status, descriptor, attributes, primitive);
  }
  onednn_layouts_destroy(&l);
  return status;
}

/// A memory object on our own bytes, in the layout `tag`.
static inline dnnl_status_t onednn_memory_create(
    int rank, const dnnl_dim_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag,
    dnnl_engine_t engine, void *bytes, dnnl_memory_t *memory) {
  onednn_own_layout layout;
  dnnl_status_t status = onednn_layout_create(&layout, rank, dims, type, tag);
  if (status != dnnl_success) return status;
  status = dnnl_memory_create(memory, onednn_layout_known(&layout), engine, bytes);
  onednn_layout_destroy(&layout);
  return status;
}

static inline onednn_known_layout onednn_layout(
    dnnl_primitive_t primitive, onednn_role role) {
  const_dnnl_primitive_desc_t descriptor = NULL;
  if (dnnl_primitive_get_primitive_desc(primitive, &descriptor) != dnnl_success) return NULL;
  switch (role) {
    case onednn_source: return dnnl_primitive_desc_query_md(descriptor, dnnl_query_src_md, 0);
    case onednn_weights:
      return dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 0);
    case onednn_bias: return dnnl_primitive_desc_query_md(descriptor, dnnl_query_weights_md, 1);
    case onednn_result: return dnnl_primitive_desc_query_md(descriptor, dnnl_query_dst_md, 0);
  }
  return NULL;
}

/// Bytes of the primitive's tensor `role`, in the layout that it asks for.
static inline size_t onednn_size(dnnl_primitive_t primitive, onednn_role role) {
  onednn_known_layout layout = onednn_layout(primitive, role);
  return layout ? dnnl_memory_desc_get_size(layout) : 0;
}

/// A memory object for the primitive's tensor `role`, on our own bytes.
static inline dnnl_status_t onednn_memory_for(
    dnnl_primitive_t primitive, onednn_role role, dnnl_engine_t engine, void *bytes,
    dnnl_memory_t *memory) {
  onednn_known_layout layout = onednn_layout(primitive, role);
  return layout ? dnnl_memory_create(memory, layout, engine, bytes) : dnnl_invalid_arguments;
}

/// Whether `memory` has the layout that the primitive asks for its tensor `role`.
static inline int onednn_fits(dnnl_primitive_t primitive, onednn_role role, dnnl_memory_t memory) {
  onednn_known_layout layout = onednn_layout(primitive, role), own = NULL;
  return layout && dnnl_memory_get_memory_desc(memory, &own) == dnnl_success &&
         dnnl_memory_desc_equal(layout, own);
}

/// Bytes of working memory that the primitive needs while it runs.
static inline size_t onednn_scratchpad_size(dnnl_primitive_t primitive) {
  const_dnnl_primitive_desc_t descriptor = NULL;
  if (dnnl_primitive_get_primitive_desc(primitive, &descriptor) != dnnl_success) return 0;
  onednn_known_layout layout =
      dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
  return layout ? dnnl_memory_desc_get_size(layout) : 0;
}

/// A memory object on the scratchpad, which must have the bytes that the primitive needs.
static inline dnnl_status_t onednn_scratchpad(
    dnnl_primitive_t primitive, dnnl_engine_t engine, void *bytes, dnnl_memory_t *memory) {
  const_dnnl_primitive_desc_t descriptor = NULL;
  dnnl_status_t status = dnnl_primitive_get_primitive_desc(primitive, &descriptor);
  if (status != dnnl_success) return status;
  onednn_known_layout layout =
      dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
  return dnnl_memory_create(memory, layout, engine, bytes);
}

/// Which implementation oneDNN chose, as in `brgconv:avx512_core`; for profiles.
static inline const char *onednn_implementation(dnnl_primitive_t primitive) {
  const_dnnl_primitive_desc_t descriptor = NULL;
  const char *name = NULL;
  if (dnnl_primitive_get_primitive_desc(primitive, &descriptor) != dnnl_success ||
      dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name) != dnnl_success)
    return "";
  return name ? name : "";
}

/// The primitive that copies from one memory's layout and type to another's.
static inline dnnl_status_t onednn_reorder_create(
    dnnl_memory_t from, dnnl_memory_t to, dnnl_engine_t engine, dnnl_primitive_t *primitive) {
  onednn_known_layout source = NULL, target = NULL;
  dnnl_status_t status;
  if ((status = dnnl_memory_get_memory_desc(from, &source)) ||
      (status = dnnl_memory_get_memory_desc(to, &target)))
    return status;
  dnnl_primitive_attr_t attributes = NULL;
  if ((status = onednn_attributes(0, &attributes))) return status;
  dnnl_primitive_desc_t descriptor = NULL;
  status = dnnl_reorder_primitive_desc_create(
      &descriptor, source, engine, target, engine, attributes);
  dnnl_primitive_attr_destroy(attributes);
  if (status != dnnl_success) return status;
  status = dnnl_primitive_create(primitive, descriptor);
  dnnl_primitive_desc_destroy(descriptor);
  return status;
}
