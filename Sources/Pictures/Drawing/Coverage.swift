/// How much of a drawn image shows at each pixel over another one.
public struct Coverage: Sendable, Hashable {
  /// Columns.
  public let width: Int
  /// Rows.
  public let height: Int
  /// Row by row: 0 where the other image stays, 255 where only the drawn one shows.
  public let shares: [UInt8]

  public init(width: Int, height: Int, shares: [UInt8]) {
    precondition(shares.count == width * height, "one for each pixel")
    self.width = width
    self.height = height
    self.shares = shares
  }

  /// The brightness of a mask, whose soft edge is a soft seam.
  public init(_ mask: Image) {
    self.init(width: mask.width, height: mask.height, shares: mask.brightness)
  }

  /// Nothing of the drawn image shows.
  public static func nothing(width: Int, height: Int) -> Coverage {
    Coverage(
      width: width, height: height, shares: [UInt8](repeating: 0, count: width * height))
  }

  /// The same in another size, by Lanczos' kernel.
  public func resized(width: Int, height: Int) -> Coverage {
    guard (width, height) != (self.width, self.height) else { return self }
    let grey = Image(
      width: self.width, height: self.height, pixels: shares.flatMap { [$0, $0, $0] })
    let pixels = grey.resized(width: width, height: height).pixels
    return Coverage(
      width: width, height: height, shares: (0..<width * height).map { pixels[3 * $0] })
  }

  /// The same with what is added at each side drawn.
  public func padded(_ padding: Image.Padding) -> Coverage {
    Coverage(
      width: width + padding.left + padding.right, height: height + padding.top + padding.bottom,
      shares: padding.around(shares, width: width, height: height, with: 255))
  }

  /// A drawn image over another one, both of this size: a mean of the two, weighted at each pixel
  /// and rounded to the nearest level.
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
