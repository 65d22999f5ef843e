import ModelFormats

/// Latents of one or more images, `[batch, channels, height, width]`.
public struct Latents: Sendable, Hashable {
  public let shape: [Int]
  public let values: [Float]

  public init(_ values: [Float], shape: [Int]) {
    precondition(shape.count == 4 && values.count == shape.reduce(1, *), "as the shape says")
    self.values = values
    self.shape = shape
  }

  public var batch: Int { shape[0] }
  public var channels: Int { shape[1] }
  public var height: Int { shape[2] }
  public var width: Int { shape[3] }

  /// The latents of one image.
  public func picture(_ index: Int) -> Latents {
    let count = shape[1...].reduce(1, *)
    return Latents(
      Array(values[index * count..<(index + 1) * count]), shape: [1] + shape.dropFirst())
  }
}
