/// The opacity of a generated image over another one, per pixel.
public struct Coverage: Sendable, Hashable {
  /// Columns.
  public let width: Int
  /// Rows.
  public let height: Int
  /// Row by row: 0 shows only the other image, 255 only the generated one.
  public let shares: [UInt8]

  public init(width: Int, height: Int, shares: [UInt8]) {
    precondition(shares.count == width * height, "one for each pixel")
    self.width = width
    self.height = height
    self.shares = shares
  }

  /// The brightness of a mask; soft edges give a soft seam.
  public init(_ mask: Image) {
    self.init(width: mask.width, height: mask.height, shares: mask.brightness)
  }

  /// Shows nothing of the generated image.
  public static func nothing(width: Int, height: Int) -> Coverage {
    Coverage(
      width: width, height: height, shares: [UInt8](repeating: 0, count: width * height))
  }

  /// Resizes the coverage with a Lanczos filter.
  public func resized(width: Int, height: Int) -> Coverage {
    guard (width, height) != (self.width, self.height) else { return self }
    let grey = Image(
      width: self.width, height: self.height, pixels: shares.flatMap { [$0, $0, $0] })
    let pixels = grey.resized(width: width, height: height).pixels
    return Coverage(
      width: width, height: height, shares: (0..<width * height).map { pixels[3 * $0] })
  }

  /// Pads the coverage; the padding shows the generated image.
  public func padded(_ padding: Image.Padding) -> Coverage {
    Coverage(
      width: width + padding.left + padding.right, height: height + padding.top + padding.bottom,
      shares: padding.around(shares, width: width, height: height, with: 255))
  }

  /// Blends a generated image over another one, both of this size: the weighted mean at each pixel,
  /// rounded to nearest.
  public func blended(_ drawn: Image, over other: Image) -> Image {
    precondition(
      [drawn, other].allSatisfy { ($0.width, $0.height) == (width, height) },
      "the pictures have this size")
    let pixels = drawn.pixels.indices.map { index in
      let share = Int(shares[index / 3])
      let sum = share * Int(drawn.pixels[index]) + (255 - share) * Int(other.pixels[index])
      return UInt8((sum + 127) / 255)
    }
    return Image(width: width, height: height, pixels: pixels)
  }
}
