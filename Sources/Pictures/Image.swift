/// An image of 8-bit red, green and blue, row by row from the top left.
public struct Image: Sendable, Hashable {
  /// Columns.
  public let width: Int
  /// Rows.
  public let height: Int
  /// Three bytes per pixel.
  public let pixels: [UInt8]

  /// - Parameter pixels: 3 · width · height bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(pixels.count == 3 * width * height, "three bytes a pixel")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// The brightness of each pixel, row by row: ITU-R 601 luma, rounded as in Pillow.
  package var brightness: [UInt8] {
    (0..<width * height).map { pixel in
      let red = 19_595 * Int(pixels[3 * pixel])
      let green = 38_470 * Int(pixels[3 * pixel + 1])
      let blue = 7_471 * Int(pixels[3 * pixel + 2])
      return UInt8((red + green + blue + 0x8000) >> 16)
    }
  }

  /// Creates an image from decoded values: -1 to 1, clamped, rounded to the nearest of 256 levels,
  /// ties to even.
  ///
  /// - Parameters:
  ///   - values: channel by channel, `[batch, 3, height, width]`.
  ///   - index: the index of the image in the batch.
  public init(decoded values: [Float], width: Int, height: Int, index: Int = 0) {
    let count = width * height
    precondition(values.count >= 3 * count * (index + 1), "three channels a picture")
    let start = 3 * count * index
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * count) { output, initialized in
      for pixel in 0..<count {
        for channel in 0..<3 {
          let value = values[start + channel * count + pixel] / 2 + 0.5
          // A NaN fails both comparisons of max and min; it becomes black.
          let level = (value > 0 ? min(value, 1) : 0) * 255
          output.initializeElement(
            at: 3 * pixel + channel, to: UInt8(level.rounded(.toNearestOrEven)))
        }
      }
      initialized = 3 * count
    }
    self.init(width: width, height: height, pixels: pixels)
  }
}
