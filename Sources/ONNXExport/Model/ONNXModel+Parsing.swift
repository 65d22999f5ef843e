import COnnx
import ModelFormats

extension ONNXModel {
  /// Reads protobuf bytes.
  ///
  /// Nodes of other opsets, sparse tensors, functions and attributes with graphs or tensors are
  /// skipped; an initializer with values in typed fields instead of `raw_data` has empty inline
  /// contents.
  ///
  /// - Throws: ``FormatError`` with code `malformed` where the bytes are no such message, or
  ///   `unsupported` for element types that no checkpoint has.
  package init(parsing bytes: UnsafeRawBufferPointer) throws(FormatError) {
    let message = onnx__model_proto__unpack(
      nil, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    guard let message else {
      throw FormatError(.malformed, "not an ONNX model")
    }
    defer { onnx__model_proto__free_unpacked(message, nil) }
    let model = message.pointee
    guard let graph = model.graph?.pointee else {
      throw FormatError(.malformed, "the ONNX model contains no graph")
    }
    let operatorSets = Self.list(model.n_opset_import, model.opset_import)
    let own = operatorSets.first { ["", "ai.onnx"].contains(Self.text($0.domain)) }
    self.init(
      graphName: Self.text(graph.name), irVersion: Int(model.ir_version),
      opset: Int(own?.version ?? 0))
    producerName = Self.text(model.producer_name)
    producerVersion = Self.text(model.producer_version)
    inputs = try Self.values(graph.n_input, graph.input)
    outputs = try Self.values(graph.n_output, graph.output)
    values = try Self.values(graph.n_value_info, graph.value_info)
    for node in Self.list(graph.n_node, graph.node) {
      nodes.append(
        Node(
          name: Self.text(node.name), operatorType: Self.text(node.op_type),
          inputs: Self.texts(node.n_input, node.input),
          outputs: Self.texts(node.n_output, node.output),
          attributes: Self.list(node.n_attribute, node.attribute).compactMap(Self.attribute)))
    }
    for tensor in Self.list(graph.n_initializer, graph.initializer) {
      initializers.append(try Self.initializer(tensor))
    }
  }

  private static func attribute(_ message: Onnx__AttributeProto) -> Attribute? {
    let argument: Attribute.Argument
    switch message.type {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT: argument = .float(message.f)
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT: argument = .integer(Int(message.i))
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING:
      argument = .string(String(decoding: bytes(message.s), as: UTF8.self))
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
      argument = .floats(Array(UnsafeBufferPointer(start: message.floats, count: message.n_floats)))
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
      let values = UnsafeBufferPointer(start: message.ints, count: message.n_ints)
      argument = .integers(values.map(Int.init))
    default: return nil
    }
    return Attribute(name: text(message.name), argument: argument)
  }

  private static func values(
    _ count: Int, _ messages: UnsafeMutablePointer<UnsafeMutablePointer<Onnx__ValueInfoProto>?>?
  ) throws(FormatError) -> [Value] {
    var values: [Value] = []
    for message in list(count, messages) {
      guard let type = message.type?.pointee,
        type.value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE, let tensor = type.tensor_type
      else { continue }
      let name = text(message.name)
      let shape = tensor.pointee.shape.map { list($0.pointee.n_dim, $0.pointee.dim) } ?? []
      values.append(
        Value(
          name: name, element: try element(tensor.pointee.elem_type, of: name),
          shape: shape.map { dimension in
            switch dimension.value_case {
            case ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE:
              .fixed(Int(dimension.dim_value))
            case ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM:
              .named(text(dimension.dim_param))
            default: .unknown
            }
          }))
    }
    return values
  }

  private static func initializer(
    _ message: Onnx__TensorProto
  ) throws(FormatError) -> Initializer {
    let name = text(message.name)
    let contents: Initializer.Contents
    if message.data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL {
      var data = ExternalData(location: "", offset: 0, length: 0)
      for entry in list(message.n_external_data, message.external_data) {
        let value = text(entry.value)
        switch text(entry.key) {
        case "location": data.location = value
        case "offset": data.offset = try number(value, of: name)
        case "length": data.length = try number(value, of: name)
        default: break
        }
      }
      contents = .external(data)
    } else {
      contents = .inline(bytes(message.raw_data))
    }
    return Initializer(
      name: name, element: try element(message.data_type, of: name),
      shape: UnsafeBufferPointer(start: message.dims, count: message.n_dims).map(Int.init),
      contents: contents)
  }

  private static func element(
    _ number: Int32, of name: String
  ) throws(FormatError) -> Element {
    guard let element = Element(rawValue: number) else {
      throw FormatError(
        .unsupported, "its element type has the number \(number), which is not read here",
        context: name)
    }
    return element
  }

  private static func number(_ text: String, of name: String) throws(FormatError) -> Int {
    guard let number = Int(text), number >= 0 else {
      throw FormatError(
        .malformed, "external data gives \"\(text)\" for a count of bytes", context: name)
    }
    return number
  }

  // MARK: C arrays

  private static func list<T>(
    _ count: Int, _ messages: UnsafeMutablePointer<UnsafeMutablePointer<T>?>?
  ) -> [T] {
    UnsafeBufferPointer(start: messages, count: count).compactMap { $0?.pointee }
  }

  private static func text(_ text: UnsafePointer<CChar>?) -> String {
    text.map { String(cString: $0) } ?? ""
  }

  private static func texts(
    _ count: Int, _ texts: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
  ) -> [String] {
    UnsafeBufferPointer(start: texts, count: count).map { text($0) }
  }

  private static func bytes(_ data: ProtobufCBinaryData) -> [UInt8] {
    Array(UnsafeBufferPointer(start: data.data, count: data.len))
  }
}
