import ModelFormats
import ModelGraph

extension Lowering {
  /// Sizes measured by nodes of the model, each once.
  struct Measures {
    /// Full shapes of images, and their heights with their widths.
    var shapes: [[Dimension]: Value] = [:]
    var resolutions: [[Dimension]: Value] = [:]
    var batch: Value?
    var tokens: [Dimension: Value] = [:]
    /// Shapes assembled from a measure and known sizes around it.
    var targets: [Target: Value] = [:]
  }

  struct Target: Hashable {
    let before: [Int]
    let measure: Value
    let after: [Int]
  }

  /// The height and the width of an image, from the first image that has them.
  mutating func resolution(
    _ size: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    if let value = measures.resolutions[size] { return value }
    guard let picture = pictures[size] else {
      throw FormatError(
        .unsupported, "no earlier picture has the size \(size)", context: "\(graph.name)\(module)")
    }
    let value: Value
    if let shape = measures.shapes[size] {
      value = build.node(
        "Slice", at: module, [shape, build.constant([2]), build.constant([4])], [2])
    } else {
      value = measure(picture, 2..<4, at: module)
    }
    measures.resolutions[size] = value
    return value
  }

  /// The batch size, as `[1]`.
  private mutating func batchCount(at module: String) throws(FormatError) -> Value {
    if let batch = measures.batch { return batch }
    let batch: Value
    if let size = firstTokenSize, let picture = pictures[size] {
      // Height and width will be needed too: use one Shape node.
      let shape = measure(picture, 0..<4, at: module)
      measures.shapes[size] = shape
      batch = build.node(
        "Slice", at: module, [shape, build.constant([0]), build.constant([1])], [1])
    } else {
      batch = measure(try input { !$0.shape.isEmpty }, 0..<1, at: module)
    }
    measures.batch = batch
    return batch
  }

  /// The number of tokens per prompt, as `[1]`.
  mutating func tokenCount(
    _ length: Dimension, at module: String
  ) throws(FormatError) -> Value {
    if let count = length.fixed { return build.constant([count]) }
    if let count = measures.tokens[length] { return count }
    let count = measure(
      try input { $0.shape.count > 1 && $0.shape[1] == length }, 1..<2, at: module)
    measures.tokens[length] = count
    return count
  }

  /// The first network input with the size to be measured.
  private func input(_ hasSize: (Value) -> Bool) throws(FormatError) -> Value {
    for input in graph.inputs {
      let value = try value(input)
      if hasSize(value) { return value }
    }
    throw FormatError(
      .unsupported, "no input has the size to be measured", context: graph.name.rawValue)
  }

  private mutating func measure(_ value: Value, _ axes: Range<Int>, at module: String) -> Value {
    build.node(
      "Shape", at: module, [value], [Dimension(axes.count)], element: .int64,
      ["start": .integer(axes.lowerBound), "end": .integer(axes.upperBound)])
  }

  /// The rows of a matrix as sequences of the batch: `[batch, tokens, ...last]`.
  ///
  /// - Parameter shape: the graph's shape, of which the first two sizes are used.
  mutating func sequences(
    _ rows: Value, _ shape: [Dimension], last: [Int]? = nil, at module: String
  ) throws(FormatError) -> Value {
    let last = last ?? [shape[2].fixed ?? 0]
    let target: Value
    if let batch = shape[0].fixed {
      target = build.constant([batch, -1] + last)
    } else if let tokens = shape[1].fixed {
      target = build.constant([-1, tokens] + last)
    } else if let tokens = measures.tokens[shape[1]] {
      target = measuredShape([-1], tokens, last, at: module)
    } else {
      target = measuredShape([], try batchCount(at: module), [-1] + last, at: module)
    }
    return build.node(
      "Reshape", at: module, [rows, target], shape[..<2] + last.map { Dimension($0) })
  }

  /// `before`, the measure and `after` as one list.
  mutating func measuredShape(
    _ before: [Int], _ measure: Value, _ after: [Int], at module: String
  ) -> Value {
    let key = Target(before: before, measure: measure, after: after)
    if let target = measures.targets[key] { return target }
    let parts = [before.isEmpty ? nil : build.constant(before), measure, build.constant(after)]
    let count = before.count + (measure.shape[0].fixed ?? 0) + after.count
    let target = build.node(
      "Concat", at: module, parts.compactMap(\.self), [Dimension(count)], ["axis": .integer(0)])
    measures.targets[key] = target
    return target
  }
}
