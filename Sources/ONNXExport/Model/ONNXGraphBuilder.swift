import ModelGraph

/// Appends nodes to a model; every computed value gets a type.
struct ONNXGraphBuilder {
  /// A value that nodes read: an input, an initializer, or the output of a node.
  struct Value: Hashable {
    let name: String
    let element: ONNXModel.Element
    let shape: [Dimension]
  }

  typealias Argument = ONNXModel.Attribute.Argument

  private(set) var model: ONNXModel
  private let dimensionNames: DimensionNames
  private var nodeNames: Set<String> = []
  private var constants: [String: Value] = [:]

  init(graphName: String, opset: Opset, dimensionNames: DimensionNames) {
    model = ONNXModel(graphName: graphName, irVersion: opset.irVersion, opset: opset.rawValue)
    self.dimensionNames = dimensionNames
  }

  /// Module paths in the form that graph viewers fold: `down_blocks.0.conv` becomes
  /// `/down_blocks.0/conv`.
  static func module(_ path: String) -> String {
    path.split(separator: ".").reduce(into: "") { result, part in
      let isIndex = part.allSatisfy(\.isNumber)
      result += (isIndex && !result.isEmpty ? "." : "/") + part
    }
  }

  // MARK: Inputs, outputs, constants

  mutating func input(
    _ name: String, _ shape: [Dimension], element: ONNXModel.Element
  ) -> Value {
    let value = Value(name: name, element: element, shape: shape)
    model.inputs.append(typed(value))
    return value
  }

  /// Makes the computed `value` the next output, named `name`.
  mutating func output(_ name: String, _ value: Value) {
    for index in model.nodes.indices {
      model.nodes[index].inputs.replace([value.name], with: [name])
      model.nodes[index].outputs.replace([value.name], with: [name])
    }
    model.values.removeAll { $0.name == value.name }
    model.outputs.append(typed(Value(name: name, element: value.element, shape: value.shape)))
  }

  mutating func weight(_ initializer: ONNXModel.Initializer) -> Value {
    model.initializers.append(initializer)
    return Value(
      name: initializer.name, element: initializer.element,
      shape: initializer.shape.map { Dimension($0) })
  }

  /// A list of integers; equal lists are one initializer.
  mutating func constant(_ values: [Int]) -> Value {
    let bytes = values.flatMap { value in
      withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) }
    }
    let name = "/constants/int64_" + values.map(String.init).joined(separator: "_")
    return constant(name, .int64, [values.count], bytes)
  }

  mutating func constant(scalar value: Int) -> Value {
    let bytes = withUnsafeBytes(of: Int64(value).littleEndian) { Array($0) }
    return constant("/constants/int64_scalar_\(value)", .int64, [], bytes)
  }

  /// A real number as `element`, which is F32 or F16.
  mutating func constant(_ value: Float, as element: ONNXModel.Element) -> Value {
    constant("/constants/float_\(value)", [], [value], as: element)
  }

  mutating func constant(
    _ name: String, _ shape: [Int], _ values: [Float], as element: ONNXModel.Element = .float32
  ) -> Value {
    guard element == .float16 else {
      let bytes = values.flatMap { value in
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
      }
      return constant(name, .float32, shape, bytes)
    }
    let bytes = values.flatMap { value in
      withUnsafeBytes(of: Float16(value).bitPattern.littleEndian) { Array($0) }
    }
    return constant(name + "_f16", .float16, shape, bytes)
  }

  private mutating func constant(
    _ name: String, _ element: ONNXModel.Element, _ shape: [Int], _ bytes: [UInt8]
  ) -> Value {
    if let constant = constants[name] { return constant }
    let constant = weight(
      ONNXModel.Initializer(name: name, element: element, shape: shape, contents: .inline(bytes)))
    constants[name] = constant
    return constant
  }

  // MARK: Nodes

  /// A node with one output, by default of the first input's element type.
  mutating func node(
    _ operatorType: String, at module: String, _ inputs: [Value?], _ shape: [Dimension],
    element: ONNXModel.Element? = nil, _ attributes: KeyValuePairs<String, Argument> = [:]
  ) -> Value {
    node(operatorType, at: module, inputs, outputs: [shape], element: element, attributes)[0]
  }

  /// A node with an output per shape.
  mutating func node(
    _ operatorType: String, at module: String, _ inputs: [Value?], outputs: [[Dimension]],
    element: ONNXModel.Element? = nil, _ attributes: KeyValuePairs<String, Argument> = [:]
  ) -> [Value] {
    var name = "\(module)/\(operatorType)"
    var number = 0
    while !nodeNames.insert(name).inserted {
      number += 1
      name = "\(module)/\(operatorType)_\(number)"
    }
    let element = element ?? inputs.lazy.compactMap(\.self).first?.element ?? .float32
    let values = outputs.enumerated().map { index, shape in
      Value(name: "\(name)_output_\(index)", element: element, shape: shape)
    }
    model.nodes.append(
      ONNXModel.Node(
        name: name, operatorType: operatorType, inputs: inputs.map { $0?.name ?? "" },
        outputs: values.map(\.name),
        attributes: attributes.map { ONNXModel.Attribute(name: $0.key, argument: $0.value) }))
    model.values += values.map(typed)
    return values
  }

  private func typed(_ value: Value) -> ONNXModel.Value {
    ONNXModel.Value(
      name: value.name, element: value.element, shape: value.shape.map(dimensionNames.extent))
  }
}
