extension Image {
  /// How many pixels to add at each side.
  public struct Padding: Sendable, Hashable {
    public var left: Int
    public var top: Int
    public var right: Int
    public var bottom: Int

    public init(left: Int, top: Int, right: Int, bottom: Int) {
      self.left = left
      self.top = top
      self.right = right
      self.bottom = bottom
    }
  }

  /// The picture with its outermost pixels repeated outwards.
  public func padded(_ padding: Padding) -> Image {
    let columns = width + padding.left + padding.right
    let rows = height + padding.top + padding.bottom
    var result: [UInt8] = []
    result.reserveCapacity(3 * columns * rows)
    for row in 0..<rows {
      let y = max(0, min(height - 1, row - padding.top))
      for column in 0..<columns {
        let x = max(0, min(width - 1, column - padding.left))
        let pixel = 3 * (y * width + x)
        result += pixels[pixel..<pixel + 3]
      }
    }
    return Image(width: columns, height: rows, pixels: result)
  }
}

extension Mask {
  /// The mask with what is added at each side painted anew.
  public func padded(_ padding: Image.Padding) -> Mask {
    let columns = width + padding.left + padding.right
    let rows = height + padding.top + padding.bottom
    return Mask(
      width: columns, height: rows,
      isRepainted: (0..<rows).flatMap { row in
        (0..<columns).map { column in
          let (x, y) = (column - padding.left, row - padding.top)
          guard (0..<width).contains(x), (0..<height).contains(y) else { return true }
          return isRepainted[y * width + x]
        }
      })
  }

  /// A mask that leaves a picture as it is.
  public static func keeping(width: Int, height: Int) -> Mask {
    Mask(
      width: width, height: height,
      isRepainted: [Bool](repeating: false, count: width * height))
  }
}
