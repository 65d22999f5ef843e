import ModelFormats
import ModelGraph

extension Lowering {
  /// An image's positions as the rows of a matrix.
  mutating func imageToTokens(_ input: Value, at module: String) -> Value {
    let size = Array(input.shape[2...])
    firstTokenSize = firstTokenSize ?? size
    let last = build.node(
      "Transpose", at: module, [input], [input.shape[0]] + size + [input.shape[1]],
      ["perm": .integers([0, 2, 3, 1])])
    return build.node(
      "Reshape", at: module, [last, build.constant([-1, input.shape[1].fixed ?? 0])],
      [input.shape[0] * size[0] * size[1], input.shape[1]])
  }

  /// The rows of a matrix back to the height and width of an earlier image.
  mutating func tokensToImage(
    _ input: Value, _ shape: [Dimension], at module: String
  ) throws(FormatError) -> Value {
    let size = Array(shape[2...])
    let channels = shape[1].fixed ?? 0
    let target: Value
    if let height = size[0].fixed, let width = size[1].fixed {
      target = build.constant([-1, height, width, channels])
    } else {
      let measured = try resolution(size, at: module)
      target = measuredShape([-1], measured, [channels], at: module)
    }
    let last = build.node(
      "Reshape", at: module, [input, target], [shape[0]] + size + [shape[1]])
    return build.node(
      "Transpose", at: module, [last], shape, ["perm": .integers([0, 3, 1, 2])])
  }

  /// Repeats each pixel four times, then crops to `shape` if the skip connection has an odd height
  /// or width, so that every latent size works as in the reference.
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
