import COnnx

extension ONNXModel {
  /// The model as protobuf bytes.
  package func serialized() -> [UInt8] {
    let arena = MessageArena()
    let message = arena.message(onnx__model_proto__init) { model in
      model.has_ir_version = 1
      model.ir_version = Int64(irVersion)
      model.producer_name = arena.string(producerName)
      model.producer_version = arena.string(producerVersion)
      let operators = arena.message(onnx__operator_set_id_proto__init) { identifier in
        identifier.domain = arena.string("")
        identifier.has_version = 1
        identifier.version = Int64(opset)
      }
      model.n_opset_import = 1
      model.opset_import = arena.pointers([operators])
      model.graph = graphMessage(arena)
    }
    let count = onnx__model_proto__get_packed_size(message)
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      initialized = onnx__model_proto__pack(message, buffer.baseAddress)
    }
  }

  private func graphMessage(_ arena: MessageArena) -> UnsafeMutablePointer<Onnx__GraphProto> {
    arena.message(onnx__graph_proto__init) { graph in
      graph.name = arena.string(graphName)
      graph.n_node = nodes.count
      graph.node = arena.pointers(nodes.map { $0.message(arena) })
      graph.n_initializer = initializers.count
      graph.initializer = arena.pointers(initializers.map { $0.message(arena) })
      graph.n_input = inputs.count
      graph.input = arena.pointers(inputs.map { $0.message(arena) })
      graph.n_output = outputs.count
      graph.output = arena.pointers(outputs.map { $0.message(arena) })
      graph.n_value_info = values.count
      graph.value_info = arena.pointers(values.map { $0.message(arena) })
    }
  }
}

extension ONNXModel.Node {
  func message(_ arena: MessageArena) -> UnsafeMutablePointer<Onnx__NodeProto> {
    arena.message(onnx__node_proto__init) { node in
      node.name = arena.string(name)
      node.op_type = arena.string(operatorType)
      node.n_input = inputs.count
      node.input = arena.strings(inputs)
      node.n_output = outputs.count
      node.output = arena.strings(outputs)
      node.n_attribute = attributes.count
      node.attribute = arena.pointers(attributes.map { $0.message(arena) })
    }
  }
}

extension ONNXModel.Attribute {
  func message(_ arena: MessageArena) -> UnsafeMutablePointer<Onnx__AttributeProto> {
    arena.message(onnx__attribute_proto__init) { attribute in
      attribute.name = arena.string(name)
      attribute.has_type = 1
      switch argument {
      case .float(let value):
        attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT
        attribute.has_f = 1
        attribute.f = value
      case .integer(let value):
        attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT
        attribute.has_i = 1
        attribute.i = Int64(value)
      case .string(let value):
        attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING
        attribute.has_s = 1
        attribute.s = arena.bytes(Array(value.utf8))
      case .floats(let values):
        attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS
        attribute.n_floats = values.count
        attribute.floats = arena.array(values)
      case .integers(let values):
        attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS
        attribute.n_ints = values.count
        attribute.ints = arena.array(values.map(Int64.init))
      }
    }
  }
}

extension ONNXModel.Value {
  func message(_ arena: MessageArena) -> UnsafeMutablePointer<Onnx__ValueInfoProto> {
    arena.message(onnx__value_info_proto__init) { value in
      value.name = arena.string(name)
      value.type = arena.message(onnx__type_proto__init) { type in
        type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE
        type.tensor_type = arena.message(onnx__type_proto__tensor__init) { tensor in
          tensor.has_elem_type = 1
          tensor.elem_type = element.rawValue
          tensor.shape = arena.message(onnx__tensor_shape_proto__init) { message in
            message.n_dim = shape.count
            message.dim = arena.pointers(shape.map { $0.message(arena) })
          }
        }
      }
    }
  }
}

extension ONNXModel.Extent {
  func message(
    _ arena: MessageArena
  ) -> UnsafeMutablePointer<Onnx__TensorShapeProto__Dimension> {
    arena.message(onnx__tensor_shape_proto__dimension__init) { dimension in
      switch self {
      case .fixed(let size):
        dimension.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
        dimension.dim_value = Int64(size)
      case .named(let name):
        dimension.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM
        dimension.dim_param = arena.string(name)
      case .unknown:
        dimension.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE__NOT_SET
      }
    }
  }
}

extension ONNXModel.Initializer {
  func message(_ arena: MessageArena) -> UnsafeMutablePointer<Onnx__TensorProto> {
    arena.message(onnx__tensor_proto__init) { tensor in
      tensor.name = arena.string(name)
      tensor.has_data_type = 1
      tensor.data_type = element.rawValue
      tensor.n_dims = shape.count
      tensor.dims = arena.array(shape.map(Int64.init))
      switch contents {
      case .inline(let bytes):
        tensor.has_raw_data = 1
        tensor.raw_data = arena.bytes(bytes)
      case .external(let data):
        // TensorRT's parser rejects every key but these three and `checksum`.
        let entries = [
          ("location", data.location), ("offset", String(data.offset)),
          ("length", String(data.length)),
        ]
        tensor.has_data_location = 1
        tensor.data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL
        tensor.n_external_data = entries.count
        tensor.external_data = arena.pointers(
          entries.map { key, value in
            arena.message(onnx__string_string_entry_proto__init) { entry in
              entry.key = arena.string(key)
              entry.value = arena.string(value)
            }
          })
      }
    }
  }
}
