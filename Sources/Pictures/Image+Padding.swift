extension Image {
  /// The number of pixels to add at each side.
  public struct Padding: Sendable, Hashable {
    /// Columns on the left.
    public var left: Int
    /// Rows above.
    public var top: Int
    /// Columns on the right.
    public var right: Int
    /// Rows below.
    public var bottom: Int

    public init(left: Int, top: Int, right: Int, bottom: Int) {
      self.left = left
      self.top = top
      self.right = right
      self.bottom = bottom
    }
  }

  /// The image with its outermost pixels repeated outwards.
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

extension Image.Padding {
  /// Pads values of pixels, row by row, with a constant.
  package func around<Value>(_ values: [Value], width: Int, height: Int, with value: Value)
    -> [Value]
  {
    let columns = left + width + right
    var result = [Value](repeating: value, count: columns * (top + height + bottom))
    for row in 0..<height {
      let start = (top + row) * columns + left
      result.replaceSubrange(
        start..<start + width, with: values[row * width..<(row + 1) * width])
    }
    return result
  }
}

extension Mask {
  /// The padded mask; the padding is repainted.
  public func padded(_ padding: Image.Padding) -> Mask {
    Mask(
      width: width + padding.left + padding.right, height: height + padding.top + padding.bottom,
      isRepainted: padding.around(isRepainted, width: width, height: height, with: true))
  }

  /// A mask that keeps the whole image.
  public static func keeping(width: Int, height: Int) -> Mask {
    Mask(
      width: width, height: height,
      isRepainted: [Bool](repeating: false, count: width * height))
  }
}
