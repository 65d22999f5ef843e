import ModelFormats

/// Latents of one or more images, `[batch, channels, height, width]`.
public struct Latents: Sendable, Hashable {
  /// `[batch, channels, height, width]`.
  public let shape: [Int]
  /// The values in the order of the shape, the last dimension fastest.
  public let values: [Float]

  /// Latents of a shape, which must have as many elements as there are values.
  public init(_ values: [Float], shape: [Int]) {
    precondition(shape.count == 4 && values.count == shape.reduce(1, *), "as the shape says")
    self.values = values
    self.shape = shape
  }

  /// How many images they are of.
  public var batch: Int { shape[0] }
  /// Channels of each image, 4 for Stable Diffusion.
  public var channels: Int { shape[1] }
  /// An eighth of the image's height.
  public var height: Int { shape[2] }
  /// An eighth of the image's width.
  public var width: Int { shape[3] }

  /// The latents of one image.
  public func picture(_ index: Int) -> Latents {
    let count = shape[1...].reduce(1, *)
    return Latents(
      Array(values[index * count..<(index + 1) * count]), shape: [1] + shape.dropFirst())
  }
}
