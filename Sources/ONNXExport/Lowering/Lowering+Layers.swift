import Glibc
import ModelFormats
import ModelGraph
import OrderedJSON

extension Lowering {
  mutating func convolution(
    _ input: Value, _ form: Convolution, _ node: Graph.Node, _ shape: [Dimension],
    at module: String
  ) throws(FormatError) -> Value {
    var inputs = [input, try parameter(node.weight, at: module)]
    if node.bias != nil { inputs.append(try parameter(node.bias, at: module)) }
    let padding = form.padding
    return build.node(
      "Conv", at: module, inputs, shape,
      [
        "dilations": .integers([1, 1]), "group": .integer(1),
        "kernel_shape": .integers([form.kernel, form.kernel]),
        "pads": .integers([padding.top, padding.left, padding.bottom, padding.right]),
        "strides": .integers([form.stride, form.stride]),
      ])
  }

  /// A Gemm with the checkpoint's weight, `[out, in]`.
  mutating func linear(
    _ input: Value, _ node: Graph.Node, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    var inputs = [input, try parameter(node.weight, at: module)]
    if node.bias != nil { inputs.append(try parameter(node.bias, at: module)) }
    let factor = factor(node.output)
    guard factor != 1 else {
      return build.node("Gemm", at: module, inputs, shape, ["transB": .integer(1)])
    }
    return build.node(
      "Gemm", at: module, inputs, shape,
      ["alpha": .float(factor), "beta": .float(factor), "transB": .integer(1)])
  }

  /// Means and variances are F32 in every precision: by `stash_type` 1, the default of
  /// GroupNormalization and LayerNormalization, and by TensorRT's and ONNX Runtime's behavior for
  /// InstanceNormalization, which has no such attribute.
  mutating func groupNorm(
    _ input: Value, _ form: GroupNorm, _ node: Graph.Node, at module: String
  ) throws(FormatError) -> Value {
    let weight = try parameter(node.weight, at: module)
    let bias = try parameter(node.bias, at: module)
    let epsilon = Float(form.epsilon)
    var output: Value
    if needsStages {
      output = stagedGroupNorm(input, form, weight: weight, bias: bias, at: module)
    } else if options.opset.rawValue >= 21 {
      output = build.node(
        "GroupNormalization", at: module, [input, weight, bias], input.shape,
        ["epsilon": .float(epsilon), "num_groups": .integer(form.groups)])
    } else {
      output = olderGroupNorm(input, form, weight: weight, bias: bias, at: module)
    }
    if form.silu { output = activation(output, .silu, at: module) }
    return output
  }

  /// Before opset 21, GroupNormalization scales each group, unlike the networks.
  private mutating func olderGroupNorm(
    _ input: Value, _ form: GroupNorm, weight: Value, bias: Value, at module: String
  ) -> Value {
    let grouped = grouped(input, form, at: module)
    let ones = build.constant(
      "/constants/ones_\(form.groups)", [form.groups], Array(repeating: 1, count: form.groups),
      as: input.element)
    let zeros = build.constant(
      "/constants/zeros_\(form.groups)", [form.groups], Array(repeating: 0, count: form.groups),
      as: input.element)
    let normalized = build.node(
      "InstanceNormalization", at: module, [grouped, ones, zeros], grouped.shape,
      ["epsilon": .float(Float(form.epsilon))])
    return scaledPerChannel(normalized, input.shape, weight: weight, bias: bias, at: module)
  }

  mutating func activation(_ input: Value, _ function: Activation, at module: String) -> Value {
    switch function {
    case .silu:
      let gate = build.node("Sigmoid", at: module, [input], input.shape)
      return build.node("Mul", at: module, [input, gate], input.shape)
    case .quickGELU:
      let scaled = build.node(
        "Mul", at: module, [input, build.constant(1.702, as: input.element)], input.shape)
      let gate = build.node("Sigmoid", at: module, [scaled], input.shape)
      return build.node("Mul", at: module, [input, gate], input.shape)
    case .gelu:
      return gelu(input, at: module)
    case .relu:
      return build.node("Relu", at: module, [input], input.shape)
    case .latentClamp:
      let three = build.constant(3, as: input.element)
      let third = build.node("Div", at: module, [input, three], input.shape)
      let bounded = build.node("Tanh", at: module, [third], input.shape)
      return build.node("Mul", at: module, [bounded, three], input.shape)
    }
  }

  /// One learned token, repeated for each sample, before the others.
  mutating func prependToken(
    _ input: Value, _ node: Graph.Node, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    let token = try parameter(node.weight, at: module)
    let batch = build.node(
      "Shape", at: module, [input], [1], element: .int64,
      ["start": .integer(0), "end": .integer(1)])
    let width = shape[2].fixed ?? 0
    let size = build.node(
      "Concat", at: module, [batch, build.constant([1, width])], [3], ["axis": .integer(0)])
    let first = build.node("Expand", at: module, [token, size], [shape[0], 1, shape[2]])
    return build.node("Concat", at: module, [first, input], shape, ["axis": .integer(1)])
  }

  private mutating func gelu(_ input: Value, at module: String) -> Value {
    if options.opset.rawValue >= 20 {
      return build.node("Gelu", at: module, [input], input.shape)
    }
    let scaled = build.node(
      "Div", at: module, [input, build.constant(Float(2).squareRoot(), as: input.element)],
      input.shape)
    let error = build.node("Erf", at: module, [scaled], input.shape)
    let sum = build.node(
      "Add", at: module, [error, build.constant(1, as: input.element)], input.shape)
    let product = build.node("Mul", at: module, [input, sum], input.shape)
    return build.node(
      "Mul", at: module, [product, build.constant(0.5, as: input.element)], input.shape)
  }

  mutating func geglu(_ input: Value, at module: String) -> Value {
    let shape = Array(input.shape.dropLast()) + [Dimension((input.shape.last?.fixed ?? 0) / 2)]
    // Two equal parts are the default in opset 13; from 18 on their number is required.
    let halves =
      options.opset.rawValue >= 18
      ? build.node(
        "Split", at: module, [input], outputs: [shape, shape],
        ["axis": .integer(-1), "num_outputs": .integer(2)])
      : build.node("Split", at: module, [input], outputs: [shape, shape], ["axis": .integer(-1)])
    let gate = gelu(halves[1], at: module)
    return build.node("Mul", at: module, [halves[0], gate], shape)
  }

  /// Sines and cosines of the timestep, always in F32: at timestep 981, F16 would be off by half a
  /// radian.
  mutating func timestepEmbedding(
    _ timestep: Value, _ form: TimestepEmbedding, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    guard form.channels % 2 == 0 else {
      throw FormatError(
        .unsupported, "a timestep embedding of \(form.channels.of("channel")) cannot be halved",
        context: module)
    }
    // Rounded at each step like the reference.
    let half = form.channels / 2
    let range = -Float(log(10_000.0))
    let frequencies = (0..<half).map { index in
      expf(range * Float(index) / (Float(half) - Float(form.frequencyShift)))
    }
    let table = build.constant("\(module)/frequencies", [1, half], frequencies)
    var rows = timestep
    if interface.timestep == .batch {
      rows = build.node(
        "Unsqueeze", at: module, [timestep, build.constant([1])], timestep.shape + [1])
    }
    let count = interface.timestep == .batch ? timestep.shape[0] : 1
    let angles = build.node("Mul", at: module, [rows, table], [count, Dimension(half)])
    let sines = build.node("Sin", at: module, [angles], angles.shape)
    let cosines = build.node("Cos", at: module, [angles], angles.shape)
    let embedding = build.node(
      "Concat", at: module, form.flipSinToCos ? [cosines, sines] : [sines, cosines],
      [count] + shape.suffix(1),
      ["axis": .integer(-1)])
    return cast(embedding, to: real, at: module)
  }
}
