import ModelFormats
import ModelGraph

extension Lowering {
  /// `softmax(q * k^T) * v`: ONNX's Attention if TensorRT has a kernel for it, otherwise plain
  /// operators.
  mutating func attention(
    _ inputs: [Value], _ node: Graph.Node, _ form: Attention, at module: String
  ) throws(FormatError) -> Value {
    let shape = graph[node.output].shape
    let isFused = hasKernel(form, shape)
    var inputs = inputs
    if !isFused, factor(node.inputs[0]) == 1, form.scale != 1 {
      let scale = build.constant(Float(form.scale), as: real)
      inputs[0] = build.node("Mul", at: module, [inputs[0], scale], inputs[0].shape)
    }
    let shapes = node.inputs.map { graph[$0].shape }
    let query = try heads(inputs[0], shapes[0], form, at: module)
    let key = try heads(inputs[1], shapes[1], form, transposed: !isFused, at: module)
    let value = try heads(inputs[2], shapes[2], form, at: module)
    let sums =
      isFused
      ? fusedAttention([query, key, value], form, at: module)
      : try plainAttention(query: query, keys: key, values: value, form, at: module)
    return joined(sums, form, shape, at: module)
  }

  /// Whether TensorRT can build ONNX's Attention of this form: in F16, with heads of 16 to 256
  /// channels, a multiple of 8.
  ///
  /// Measured with TensorRT-RTX 1.7.1: it builds 12 to 256 channels, causal or not, and fails for 4, 8,
  /// 264, the VAE's single head of 512, and any F32.
  func hasKernel(_ form: Attention, _ query: [Dimension]) -> Bool {
    let width = (query[2].fixed ?? 0) / form.heads
    return options.opset.rawValue >= 23 && real == .float16 && !form.upcast && form.heads > 1
      && width % 8 == 0 && (16...256).contains(width)
  }

  /// Give heads and scale explicitly: without them TensorRT's parser makes 22 layers instead of 8.
  private mutating func fusedAttention(
    _ parts: [Value], _ form: Attention, at module: String
  ) -> Value {
    build.node(
      "Attention", at: module, parts, parts[0].shape,
      ["is_causal": .integer(form.causal ? 1 : 0), "scale": .float(Float(form.scale))])
  }

  /// The queries are already scaled, which keeps the products in range for F16. If the
  /// configuration says that this is not enough, products and softmax are in F32.
  ///
  /// - Parameter keys: transposed in their last two axes.
  private mutating func plainAttention(
    query: Value, keys: Value, values: Value, _ form: Attention, at module: String
  ) throws(FormatError) -> Value {
    let element = form.upcast ? .float32 : real
    let factors = [cast(query, to: element, at: module), cast(keys, to: element, at: module)]
    var scores = build.node(
      "MatMul", at: module, factors, query.shape.dropLast() + keys.shape.suffix(1))
    if form.causal {
      let length = scores.shape[scores.shape.count - 1]
      scores = build.node(
        "Add", at: module, [scores, try mask(length, as: element)], scores.shape)
    }
    var weights = build.node("Softmax", at: module, [scores], scores.shape, ["axis": .integer(-1)])
    weights = cast(weights, to: real, at: module)
    return build.node("MatMul", at: module, [weights, values], query.shape)
  }

  /// The heads concatenated again, as the rows of a matrix.
  private mutating func joined(
    _ sums: Value, _ form: Attention, _ shape: [Dimension], at module: String
  ) -> Value {
    let tokens = form.heads > 1 ? permuted(sums, [0, 2, 1, 3], at: module) : sums
    return build.node(
      "Reshape", at: module, [tokens, build.constant([-1, shape[2].fixed ?? 0])],
      [shape[0] * shape[1], shape[2]])
  }

  /// The rows of a matrix as `[batch, heads, tokens, channels / heads]`, with the last two
  /// exchanged for keys; a single head stays `[batch, tokens, channels]`.
  private mutating func heads(
    _ rows: Value, _ shape: [Dimension], _ form: Attention, transposed: Bool = false,
    at module: String
  ) throws(FormatError) -> Value {
    guard form.heads > 1 else {
      let tokens = try sequences(rows, shape, at: module)
      guard transposed else { return tokens }
      return permuted(tokens, [0, 2, 1], at: module)
    }
    let width = (shape[2].fixed ?? 0) / form.heads
    let split = try sequences(rows, shape, last: [form.heads, width], at: module)
    return permuted(split, transposed ? [0, 2, 3, 1] : [0, 2, 1, 3], at: module)
  }

  private mutating func permuted(_ value: Value, _ axes: [Int], at module: String) -> Value {
    build.node(
      "Transpose", at: module, [value], axes.map { value.shape[$0] }, ["perm": .integers(axes)])
  }

  /// The smallest number above the diagonal, zero elsewhere, for the number of tokens.
  private mutating func mask(
    _ length: Dimension, as element: ONNXModel.Element
  ) throws(FormatError) -> Value {
    if let mask = causalMasks[length] { return mask }
    let module = "/causal_mask"
    let size: Value
    if let length = length.fixed {
      size = build.constant([length, length])
    } else {
      let count = try tokenCount(length, at: module)
      size = build.node("Concat", at: module, [count, count], [2], ["axis": .integer(0)])
    }
    let greatest =
      element == .float16
      ? Float(Float16.greatestFiniteMagnitude) : Float.greatestFiniteMagnitude
    let lowest = build.constant(-greatest, as: element)
    let full = build.node("Expand", at: module, [lowest, size], [length, length])
    let mask = build.node(
      "Trilu", at: module, [full, build.constant(scalar: 1)], full.shape,
      ["upper": .integer(1)])
    causalMasks[length] = mask
    return mask
  }

  mutating func addPositions(
    _ input: Value, _ node: Graph.Node, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    let table = try parameter(node.weight, at: module)
    let zero = build.constant([0])
    let count = try tokenCount(shape[1], at: module)
    let rows = build.node(
      "Slice", at: module, [table, zero, count, zero], Array(shape[1...]))
    return build.node("Add", at: module, [input, rows], shape)
  }
}
