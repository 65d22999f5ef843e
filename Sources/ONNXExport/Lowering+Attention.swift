import ModelFormats
import ModelGraph

extension Lowering {
  /// `softmax(q * k^T) * v`: ONNX's own Attention where TensorRT has a kernel for it, else plain
  /// operators.
  mutating func attention(
    query: Value, key: Value, value: Value, _ form: Attention, at module: String
  ) -> Value {
    hasKernel(form, query)
      ? fusedAttention(query: query, key: key, value: value, form, at: module)
      : plainAttention(query: query, key: key, value: value, form, at: module)
  }

  /// Whether TensorRT builds ONNX's Attention of this form: in F16, with heads of 16 to 256 channels,
  /// a multiple of 8.
  ///
  /// Measured with TensorRT-RTX 1.7.1: it builds 12 to 256 channels, causal or not, and fails for 4, 8,
  /// 264, the VAE's single head of 512, and any F32.
  private func hasKernel(_ form: Attention, _ query: Value) -> Bool {
    let width = (query.shape[2].fixed ?? 0) / form.heads
    return options.opset.rawValue >= 23 && query.element == .float16 && form.heads > 1
      && width % 8 == 0 && (16...256).contains(width)
  }

  /// Heads and scale are spelled out: without them TensorRT's parser makes 22 layers instead of 8.
  private mutating func fusedAttention(
    query: Value, key: Value, value: Value, _ form: Attention, at module: String
  ) -> Value {
    let inputs = [query, key, value].map { heads($0, form, transposed: false, at: module) }
    let sums = build.node(
      "Attention", at: module, inputs, inputs[0].shape,
      [
        "is_causal": .integer(form.causal ? 1 : 0), "scale": .float(Float(form.scale)),
      ])
    return joined(sums, like: query, at: module)
  }

  /// The queries are scaled first, which keeps the products in range for half precision. One head
  /// needs no cutting.
  private mutating func plainAttention(
    query: Value, key: Value, value: Value, _ form: Attention, at module: String
  ) -> Value {
    let tokens = query.shape[1]
    let sources = key.shape[1]
    let scaled = build.node(
      "Mul", at: module, [query, build.constant(Float(form.scale), as: query.element)], query.shape)
    let leading = Array(query.shape[..<1]) + (form.heads == 1 ? [] : [Dimension(form.heads)])
    let queries = heads(scaled, form, transposed: false, at: module)
    let keys = heads(key, form, transposed: true, at: module)
    let values = heads(value, form, transposed: false, at: module)

    var scores = build.node("MatMul", at: module, [queries, keys], leading + [tokens, sources])
    if form.causal {
      scores = build.node("Add", at: module, [scores, mask(of: query)], scores.shape)
    }
    let weights = build.node("Softmax", at: module, [scores], scores.shape, ["axis": .integer(-1)])
    let sums = build.node("MatMul", at: module, [weights, values], queries.shape)
    return form.heads > 1 ? joined(sums, like: query, at: module) : sums
  }

  /// The heads side by side again.
  private mutating func joined(_ sums: Value, like query: Value, at module: String) -> Value {
    let joined = build.node(
      "Transpose", at: module, [sums],
      [sums.shape[0], sums.shape[2], sums.shape[1], sums.shape[3]],
      ["perm": .integers([0, 2, 1, 3])])
    let width = query.shape[2].fixed ?? -1
    return build.node(
      "Reshape", at: module, [joined, build.constant([0, 0, width])], query.shape)
  }

  /// `[batch, n, channels]` as `[batch, heads, n, channels / heads]`, the last two exchanged for
  /// keys.
  private mutating func heads(
    _ input: Value, _ form: Attention, transposed: Bool, at module: String
  ) -> Value {
    let (batch, tokens) = (input.shape[0], input.shape[1])
    guard form.heads > 1 else {
      guard transposed else { return input }
      return build.node(
        "Transpose", at: module, [input], [batch, input.shape[2], tokens],
        ["perm": .integers([0, 2, 1])])
    }
    let heads = Dimension(form.heads)
    let width = Dimension((input.shape[2].fixed ?? 0) / form.heads)
    let shape = build.constant([0, 0, form.heads, -1])
    let split = build.node("Reshape", at: module, [input, shape], [batch, tokens, heads, width])
    return build.node(
      "Transpose", at: module, [split],
      transposed ? [batch, heads, width, tokens] : [batch, heads, tokens, width],
      ["perm": .integers(transposed ? [0, 2, 3, 1] : [0, 2, 1, 3])])
  }

  /// The lowest number above the diagonal, zero elsewhere, for as many tokens as there are.
  private mutating func mask(of tokens: Value) -> Value {
    let length = tokens.shape[1]
    if let mask = causalMasks[length] { return mask }
    let module = "/causal_mask"
    let size: Value
    if let length = length.fixed {
      size = build.constant([length, length])
    } else {
      let count = tokenCount(of: tokens, at: module)
      size = build.node("Concat", at: module, [count, count], [2], ["axis": .integer(0)])
    }
    let lowest = build.constant(
      real == .float16
        ? -Float(Float16.greatestFiniteMagnitude) : -Float.greatestFiniteMagnitude, as: real)
    let full = build.node("Expand", at: module, [lowest, size], [length, length])
    let mask = build.node(
      "Trilu", at: module, [full, build.constant(scalar: 1)], full.shape,
      ["upper": .integer(1)])
    causalMasks[length] = mask
    return mask
  }

  /// The second size of `tokens`, as `[1]`.
  private mutating func tokenCount(of tokens: Value, at module: String) -> Value {
    if let count = tokens.shape[1].fixed { return build.constant([count]) }
    if let count = tokenCounts[tokens.shape[1]] { return count }
    let count = build.node(
      "Shape", at: module, [tokens], [1], element: .int64,
      ["start": .integer(1), "end": .integer(2)])
    tokenCounts[tokens.shape[1]] = count
    return count
  }

  mutating func addPositions(
    _ input: Value, _ node: Graph.Node, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    let table = try parameter(node.weight, at: module)
    let zero = build.constant([0])
    let count = tokenCount(of: input, at: module)
    let rows = build.node(
      "Slice", at: module, [table, zero, count, zero], Array(shape[1...]))
    return build.node("Add", at: module, [input, rows], shape)
  }
}
