/// The parts of an image to repaint.
public struct Mask: Sendable, Hashable {
  /// Columns.
  public let width: Int
  /// Rows.
  public let height: Int
  /// Row by row: whether the pixel is repainted.
  public let isRepainted: [Bool]

  public init(width: Int, height: Int, isRepainted: [Bool]) {
    precondition(isRepainted.count == width * height, "one for each pixel")
    self.width = width
    self.height = height
    self.isRepainted = isRepainted
  }

  /// Repaints light pixels: those of at least half the brightness.
  public init(_ image: Image) {
    let half = 128
    self.init(
      width: image.width, height: image.height, isRepainted: image.brightness.map { $0 >= half })
  }

  /// The mask at another size, with nearest-neighbor interpolation as in torch.
  public func resized(width: Int, height: Int) -> Mask {
    precondition(self.width > 0 && self.height > 0, "there is a pixel to take")
    return Mask(
      width: width, height: height,
      isRepainted: (0..<height).flatMap { row in
        let start = row * self.height / height * self.width
        return (0..<width).map { isRepainted[start + $0 * self.width / width] }
      })
  }
}
