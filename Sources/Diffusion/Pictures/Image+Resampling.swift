import Glibc

extension Image {
  /// The picture at another size, by Lanczos' kernel of three lobes, widened where it shrinks.
  ///
  /// Equal in every pixel to Pillow's `Image.resize` with `LANCZOS`, which diffusers brings pictures
  /// to their size with: first all rows, then all columns, each rounded to eight bits. Source:
  /// Duchon, "Lanczos Filtering in One and Two Dimensions" (1979).
  public func resized(width newWidth: Int, height newHeight: Int) -> Image {
    precondition(newWidth > 0 && newHeight > 0, "a picture has pixels")
    var (columns, rows, current) = (width, height, pixels)
    if newWidth != columns {
      let kernel = ResamplingKernel(from: columns, to: newWidth)
      var result = [UInt8](repeating: 0, count: 3 * newWidth * rows)
      for row in 0..<rows {
        kernel.apply(
          to: current, from: 3 * columns * row, stride: 3, into: &result, at: 3 * newWidth * row)
      }
      (columns, current) = (newWidth, result)
    }
    if newHeight != rows {
      let kernel = ResamplingKernel(from: rows, to: newHeight)
      var result = [UInt8](repeating: 0, count: 3 * columns * newHeight)
      for column in 0..<columns {
        kernel.apply(
          to: current, from: 3 * column, stride: 3 * columns, into: &result, at: 3 * column)
      }
      (rows, current) = (newHeight, result)
    }
    return Image(width: columns, height: rows, pixels: current)
  }
}

/// For each place of the result, which places of the source it is made of and with which weights.
private struct ResamplingKernel {
  private struct Window {
    let start: Int
    /// In units of 2^-22.
    let weights: [Int]
  }

  private static let fractionBits = 22
  private static let lobes = 3.0

  private let windows: [Window]

  init(from source: Int, to target: Int) {
    let scale = Double(source) / Double(target)
    let width = max(scale, 1)
    let support = Self.lobes * width
    windows = (0..<target).map { place in
      let centre = (Double(place) + 0.5) * scale
      let start = max(0, Int(centre - support + 0.5))
      let end = min(source, Int(centre + support + 0.5))
      let weights = (start..<end).map { index in
        Self.lanczos((Double(index) - centre + 0.5) / width)
      }
      let sum = weights.reduce(0, +)
      return Window(
        start: start,
        weights: weights.map {
          let weight = $0 / sum * Double(1 << Self.fractionBits)
          return Int(weight < 0 ? weight - 0.5 : weight + 0.5)
        })
    }
  }

  private static func lanczos(_ x: Double) -> Double {
    func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
    return x >= -lobes && x < lobes ? sinc(x) * sinc(x / lobes) : 0
  }

  /// One row or column of pixels, in all three channels.
  func apply(
    to source: [UInt8], from offset: Int, stride: Int, into result: inout [UInt8], at place: Int
  ) {
    for (index, window) in windows.enumerated() {
      for channel in 0..<3 {
        var sum = 1 << (Self.fractionBits - 1)
        var position = offset + window.start * stride + channel
        for weight in window.weights {
          sum += Int(source[position]) * weight
          position += stride
        }
        let level = sum >> Self.fractionBits
        result[place + index * stride + channel] = UInt8(max(0, min(255, level)))
      }
    }
  }
}
