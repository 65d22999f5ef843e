import Glibc

/// The filters for resizing images.
public enum ResamplingFilter: Sendable, Hashable {
  /// Keys' cubic with a = -1/2.
  case bicubic
  /// The windowed sine of three lobes.
  case lanczos

  /// The support of the filter, in pixels.
  fileprivate var support: Double { self == .bicubic ? 2 : 3 }

  fileprivate func weight(_ x: Double) -> Double {
    switch self {
    case .bicubic:
      let x = abs(x)
      if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
    case .lanczos:
      func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(x * .pi) / (x * .pi) }
      return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0
    }
  }
}

extension Image {
  /// The image at another size.
  ///
  /// As in Pillow's `resize`: the filter is widened for downscaling, weights are rounded to 22
  /// bits, and rows are rounded to bytes before columns are computed.
  public func resampled(width: Int, height: Int, filter: ResamplingFilter) -> Image {
    precondition(width > 0 && height > 0, "a picture has pixels")
    var columns = pixels
    if width != self.width {
      let kernel = ResamplingWeights(from: self.width, to: width, filter)
      columns = kernel.apply(
        columns, lines: self.height, lineStride: 3 * self.width, step: 3,
        outputLineStride: 3 * width, outputStep: 3)
    }
    if height != self.height {
      let kernel = ResamplingWeights(from: self.height, to: height, filter)
      columns = kernel.apply(
        columns, lines: width, lineStride: 3, step: 3 * width, outputLineStride: 3,
        outputStep: 3 * width)
    }
    return Image(width: width, height: height, pixels: columns)
  }

  /// The rectangle with this size and position, which must be inside the image.
  package func cropped(x: Int, y: Int, width: Int, height: Int) -> Image {
    precondition(x >= 0 && y >= 0 && x + width <= self.width && y + height <= self.height)
    var rows: [UInt8] = []
    rows.reserveCapacity(3 * width * height)
    for row in y..<(y + height) {
      let start = 3 * (row * self.width + x)
      rows += pixels[start..<(start + 3 * width)]
    }
    return Image(width: width, height: height, pixels: rows)
  }
}

/// The source samples and weights of each output sample of a line.
private struct ResamplingWeights {
  private static let bits = 22
  private let first: [Int]
  private let weights: [[Int]]

  package init(from input: Int, to output: Int, _ filter: ResamplingFilter) {
    let ratio = Double(input) / Double(output)
    let scale = max(1, ratio)
    let reach = filter.support * scale
    var first: [Int] = []
    var weights: [[Int]] = []
    for index in 0..<output {
      let centre = (Double(index) + 0.5) * ratio
      let low = max(0, Int(centre - reach + 0.5))
      let high = min(input, Int(centre + reach + 0.5))
      let raw = (low..<high).map { filter.weight((Double($0) - centre + 0.5) / scale) }
      let sum = raw.reduce(0, +)
      first.append(low)
      weights.append(
        raw.map { value in
          let scaled = value / sum * Double(1 << Self.bits)
          return Int(scaled + (scaled < 0 ? -0.5 : 0.5))
        })
    }
    self.first = first
    self.weights = weights
  }

  /// Resamples every line, in each of three channels.
  package func apply(
    _ source: [UInt8], lines: Int, lineStride: Int, step: Int, outputLineStride: Int,
    outputStep: Int
  ) -> [UInt8] {
    let size = 3 * lines * first.count
    return [UInt8](unsafeUninitializedCapacity: size) { output, initialized in
      for line in 0..<lines {
        for index in first.indices {
          for channel in 0..<3 {
            var sum = 1 << (Self.bits - 1)
            var place = line * lineStride + first[index] * step + channel
            for weight in weights[index] {
              sum += Int(source[place]) * weight
              place += step
            }
            output.initializeElement(
              at: line * outputLineStride + index * outputStep + channel,
              to: UInt8(clamping: sum >> Self.bits))
          }
        }
      }
      initialized = size
    }
  }
}
