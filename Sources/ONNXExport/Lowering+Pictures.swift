import ModelFormats
import ModelGraph

extension Lowering {
  /// Tokens back to the height and width of an earlier picture.
  mutating func tokensToImage(
    _ input: Value, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    let rows = build.node(
      "Transpose", at: module, [input], [shape[0], shape[1], input.shape[1]],
      ["perm": .integers([0, 2, 1])])
    let target: Value
    if let height = shape[2].fixed, let width = shape[3].fixed {
      target = build.constant([0, 0, height, width])
    } else {
      target = try pictureShape(Array(shape[1...]), at: module)
    }
    return build.node("Reshape", at: module, [rows, target], shape)
  }

  /// `[0, channels, height, width]`, where 0 stands for the batch of what is given that shape.
  private mutating func pictureShape(
    _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    if let value = pictureShapes[shape] { return value }
    let size = try resolution(Array(shape[1...]), at: module)
    let value = build.node(
      "Concat", at: module, [build.constant([0, shape[0].fixed ?? 0]), size], [4],
      ["axis": .integer(0)])
    pictureShapes[shape] = value
    return value
  }

  /// The values at run time of a height and a width, from the first picture that has them.
  private mutating func resolution(
    _ size: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    if let value = resolutions[size] { return value }
    guard let picture = pictures[size] else {
      throw FormatError(
        .unsupported, "no earlier picture has the size \(size)", context: "\(graph.name)\(module)")
    }
    let value = build.node(
      "Shape", at: module, [picture], [2], element: .int64,
      ["start": .integer(2), "end": .integer(4)])
    resolutions[size] = value
    return value
  }

  /// Each pixel four times; then cut to `shape`, where the picture that it meets again had an odd
  /// height or width, so that every size of latents works as it does in the reference.
  mutating func upsample(
    _ input: Value, to shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    let scales = build.constant("/constants/scales_1_1_2_2", [4], [1, 1, 2, 2])
    let doubled = build.node(
      "Resize", at: module, [input, nil, scales],
      Array(input.shape[..<2]) + input.shape[2...].map { 2 * $0 },
      [
        "coordinate_transformation_mode": .string("asymmetric"), "mode": .string("nearest"),
        "nearest_mode": .string("floor"),
      ])
    guard doubled.shape != shape else { return doubled }
    let size: Value
    if let height = shape[2].fixed, let width = shape[3].fixed {
      size = build.constant([height, width])
    } else {
      size = try resolution(Array(shape[2...]), at: module)
    }
    return build.node(
      "Slice", at: module, [doubled, build.constant([0, 0]), size, build.constant([2, 3])], shape)
  }
}
