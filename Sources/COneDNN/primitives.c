// Convolutions, matrix products and reorders: descriptors are made here and nowhere else, in the form
// of the oneDNN whose headers this was compiled with.
#include "layouts.h"

_Static_assert(
    (int)onednn_success == dnnl_success && (int)onednn_out_of_memory == dnnl_out_of_memory &&
        (int)onednn_invalid_arguments == dnnl_invalid_arguments &&
        (int)onednn_unimplemented == dnnl_unimplemented,
    "onednn_status has oneDNN's numbers");

/// Attributes common to all: working memory is ours, so that one serves every primitive.
static dnnl_status_t create_attributes(int accumulate, dnnl_primitive_attr_t *attributes) {
  dnnl_status_t status = dnnl.primitive_attr_create(attributes);
  if (status != dnnl_success) return status;
  status = dnnl.primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
  if (status == dnnl_success && accumulate) {
    dnnl_post_ops_t operations = NULL;
    status = dnnl.post_ops_create(&operations);
#if DNNL_VERSION_MAJOR == 2
    if (status == dnnl_success) status = dnnl.post_ops_append_sum(operations, 1.0f);
#else
    if (status == dnnl_success)
      status = dnnl.post_ops_append_sum(operations, 1.0f, 0, dnnl_data_type_undef);
#endif
    if (status == dnnl_success)
      status = dnnl.primitive_attr_set_post_ops(*attributes, operations);
    if (operations != NULL) dnnl.post_ops_destroy(operations);
  }
  if (status != dnnl_success) {
    dnnl.primitive_attr_destroy(*attributes);
    *attributes = NULL;
  }
  return status;
}

/// The layouts of an operation's tensors.
typedef struct {
  onednn_own_layout source, weights, bias, result;
} layouts_of_operation;

static void destroy_layouts(layouts_of_operation *layouts) {
  onednn_layout_destroy(&layouts->source);
  onednn_layout_destroy(&layouts->weights);
  onednn_layout_destroy(&layouts->bias);
  onednn_layout_destroy(&layouts->result);
}

/// Makes the primitive of a descriptor that was made with `status`, and lets the descriptor go.
static dnnl_status_t finish(
    dnnl_status_t status, dnnl_primitive_desc_t descriptor, dnnl_primitive_attr_t attributes,
    dnnl_primitive_t *primitive) {
  dnnl.primitive_attr_destroy(attributes);
  if (status != dnnl_success) return status;
  status = dnnl.primitive_create(primitive, descriptor);
  dnnl.primitive_desc_destroy(descriptor);
  return status;
}

onednn_status onednn_convolution_create(
    const onednn_convolution *form, onednn_primitive *primitive) {
  const dnnl_dims_t source_dims = {form->batch, form->in_channels, form->in_height, form->in_width};
  const dnnl_dims_t weights_dims = {
      form->out_channels, form->in_channels, form->kernel, form->kernel};
  const dnnl_dims_t bias_dims = {form->out_channels};
  const dnnl_dims_t result_dims = {
      form->batch, form->out_channels, form->out_height, form->out_width};
  const dnnl_dims_t strides = {form->stride, form->stride};
  const dnnl_dims_t before = {form->pad_top, form->pad_left};
  const dnnl_dims_t after = {form->pad_bottom, form->pad_right};
  layouts_of_operation l = {0};
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t descriptor = NULL;
  dnnl_status_t status;
  if (!(status = onednn_layout_create(&l.source, 4, source_dims, form->source_type, dnnl_nhwc)) &&
      !(status = onednn_layout_create(
            &l.weights, 4, weights_dims, form->weights_type, dnnl_format_tag_any)) &&
      !(status = onednn_layout_create(&l.bias, 1, bias_dims, onednn_f32, dnnl_a)) &&
      !(status = onednn_layout_create(&l.result, 4, result_dims, form->result_type, dnnl_nhwc)) &&
      !(status = create_attributes(form->accumulate, &attributes))) {
#if DNNL_VERSION_MAJOR == 2
    dnnl_convolution_desc_t description;
    status = dnnl.convolution_forward_desc_init(
        &description, dnnl_forward_inference, dnnl_convolution_direct, &l.source, &l.weights,
        form->has_bias ? &l.bias : NULL, &l.result, strides, before, after);
    if (status == dnnl_success)
      status = dnnl.primitive_desc_create(
          &descriptor, &description, attributes, onednn_engine, NULL);
#else
    const dnnl_dims_t dilation = {0, 0};
    status = dnnl.convolution_forward_primitive_desc_create(
        &descriptor, onednn_engine, dnnl_forward_inference, dnnl_convolution_direct, l.source,
        l.weights, form->has_bias ? l.bias : NULL, l.result, strides, dilation, before, after,
        attributes);
#endif
    status = finish(status, descriptor, attributes, primitive);
  }
  destroy_layouts(&l);
  return (onednn_status)status;
}

onednn_status onednn_matmul_create(const onednn_matmul *form, onednn_primitive *primitive) {
  const dnnl_dims_t source_dims = {form->rows, form->depth};
  const dnnl_dims_t weights_dims = {form->depth, form->columns};
  const dnnl_dims_t bias_dims = {1, form->columns};
  const dnnl_dims_t result_dims = {form->rows, form->columns};
  layouts_of_operation l = {0};
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t descriptor = NULL;
  dnnl_status_t status;
  if (!(status = onednn_layout_create(&l.source, 2, source_dims, form->source_type, dnnl_ab)) &&
      !(status = onednn_layout_create(
            &l.weights, 2, weights_dims, form->weights_type, dnnl_format_tag_any)) &&
      !(status = onednn_layout_create(&l.bias, 2, bias_dims, onednn_f32, dnnl_ab)) &&
      !(status = onednn_layout_create(&l.result, 2, result_dims, form->result_type, dnnl_ab)) &&
      !(status = create_attributes(form->accumulate, &attributes))) {
#if DNNL_VERSION_MAJOR == 2
    dnnl_matmul_desc_t description;
    status = dnnl.matmul_desc_init(
        &description, &l.source, &l.weights, form->has_bias ? &l.bias : NULL, &l.result);
    if (status == dnnl_success)
      status = dnnl.primitive_desc_create(
          &descriptor, &description, attributes, onednn_engine, NULL);
#else
    status = dnnl.matmul_primitive_desc_create(
        &descriptor, onednn_engine, l.source, l.weights, form->has_bias ? l.bias : NULL, l.result,
        attributes);
#endif
    status = finish(status, descriptor, attributes, primitive);
  }
  destroy_layouts(&l);
  return (onednn_status)status;
}

onednn_status onednn_reorder_create(
    onednn_memory from, onednn_memory to, onednn_primitive *primitive) {
  onednn_known_layout source = NULL, target = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_primitive_desc_t descriptor = NULL;
  dnnl_status_t status;
  if (!(status = dnnl.memory_get_memory_desc(from, &source)) &&
      !(status = dnnl.memory_get_memory_desc(to, &target)) &&
      !(status = create_attributes(0, &attributes))) {
    status = dnnl.reorder_primitive_desc_create(
        &descriptor, source, onednn_engine, target, onednn_engine, attributes);
    status = finish(status, descriptor, attributes, primitive);
  }
  return (onednn_status)status;
}

const char *onednn_implementation(onednn_primitive primitive) {
  const_dnnl_primitive_desc_t descriptor = NULL;
  const char *name = NULL;
  if (dnnl.primitive_get_primitive_desc(primitive, &descriptor) != dnnl_success ||
      dnnl.primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name) != dnnl_success)
    return "";
  return name ? name : "";
}

onednn_status onednn_execute(
    onednn_primitive primitive, onednn_stream stream, int count,
    const onednn_argument *arguments) {
  static const int numbers[] = {
      [onednn_source] = DNNL_ARG_SRC, [onednn_weights] = DNNL_ARG_WEIGHTS,
      [onednn_bias] = DNNL_ARG_BIAS, [onednn_result] = DNNL_ARG_DST,
      [onednn_working_memory] = DNNL_ARG_SCRATCHPAD};
  enum { role_count = sizeof numbers / sizeof *numbers };
  dnnl_exec_arg_t given[role_count];
  if (count < 0 || count > role_count) return onednn_invalid_arguments;
  for (int i = 0; i < count; i++)
    given[i] = (dnnl_exec_arg_t){numbers[arguments[i].role], arguments[i].memory};
  return (onednn_status)dnnl.primitive_execute(primitive, stream, count, given);
}

void onednn_primitive_destroy(onednn_primitive primitive) { dnnl.primitive_destroy(primitive); }

onednn_status onednn_stream_create(onednn_stream *stream) {
  return (onednn_status)dnnl.stream_create(stream, onednn_engine, dnnl_stream_default_flags);
}

void onednn_stream_destroy(onednn_stream stream) { dnnl.stream_destroy(stream); }
