import Glibc
import Pictures

/// One picture of how another came about: from left to right chosen evaluations of the UNet, each
/// with the latents, the picture that the model predicted then, and how much of them is noise.
package struct ContactSheet: Sendable {
  /// An evaluation.
  package struct Entry: Sendable {
    /// Counted from 1.
    package let evaluation: Int
    package let timestep: Float
    /// The standard deviation of the noise over that of the picture.
    package let sigma: Float
    /// The latents before it.
    package let latents: Latents
    /// What the model predicted, decoded.
    package let picture: Image

    package init(
      evaluation: Int, timestep: Float, sigma: Float, latents: Latents, picture: Image
    ) {
      self.evaluation = evaluation
      self.timestep = timestep
      self.sigma = sigma
      self.latents = latents
      self.picture = picture
    }
  }

  private let entries: [Entry]

  package init(_ entries: [Entry]) {
    self.entries = entries
  }

  /// Which of so many evaluations are shown: the first, the last, and some between, closer together
  /// at the start, where most is decided.
  package static func evaluations(of total: Int, columns: Int = 8) -> [Int] {
    guard total > columns else { return Array(0..<max(0, total)) }
    var chosen: [Int] = []
    for column in 0..<columns {
      let share = pow(Double(column) / Double(columns - 1), 1.4)
      let evaluation = Int((share * Double(total - 1)).rounded())
      chosen.append(max(evaluation, (chosen.last ?? -1) + 1))
    }
    return chosen
  }

  private static let background = Canvas.Colour(20, 22, 28)
  private static let frame = Canvas.Colour(52, 56, 66)
  private static let text = Canvas.Colour(222, 225, 232)
  private static let faint = Canvas.Colour(128, 134, 148)
  private static let accent = Canvas.Colour(96, 165, 250)

  /// The longer side of a tile.
  private static let tileSide = 168
  private static let gap = 14
  private static let scale = 2

  /// Draws the sheet; nothing where there are no entries.
  package func image() -> Image? {
    guard let first = entries.first else { return nil }
    let longer = max(first.picture.width, first.picture.height)
    let width = max(1, first.picture.width * Self.tileSide / longer)
    let height = max(1, first.picture.height * Self.tileSide / longer)
    let (gap, scale) = (Self.gap, Self.scale)
    let line = (BitmapFont.height + 5) * scale
    let rowNames = ["latents", "predicted"]
    let margin = 2 * gap
    let label = rowNames.map { Canvas.width(of: $0, scale: scale) }.max() ?? 0
    let left = margin + label + gap
    let numbers = entries.map { "evaluation \($0.evaluation)" } + ["sigma 00.00"]
    let pitch = max(width, numbers.map { Canvas.width(of: $0, scale: scale) }.max() ?? 0) + gap
    let top = margin + line
    let bottom = top + 2 * (height + gap)
    var canvas = Canvas(
      width: left + entries.count * pitch - gap + margin,
      height: bottom + gap / 2 + 2 * line + margin - gap, Self.background)
    for (row, name) in rowNames.enumerated() {
      canvas.write(
        name, x: margin,
        y: top + row * (height + gap) + (height - BitmapFont.height * scale) / 2, scale: scale,
        Self.faint)
    }
    canvas.write("noise", x: margin, y: bottom + gap / 2 + 4, scale: scale, Self.faint)
    let spread = Self.spread(of: entries.map(\.latents))
    for (column, entry) in entries.enumerated() {
      let x = left + column * pitch + (pitch - gap - width) / 2
      canvas.write("evaluation \(entry.evaluation)", x: x, y: margin, scale: scale, Self.text)
      let tiles = [
        Self.tile(of: entry.latents, spread: spread, width: width, height: height),
        entry.picture.resized(width: width, height: height),
      ]
      for (row, tile) in tiles.enumerated() {
        let y = top + row * (height + gap)
        canvas.fill(x: x - 1, y: y - 1, width: width + 2, height: height + 2, Self.frame)
        canvas.put(tile, x: x, y: y)
      }
      // Noise relative to everything, as amplitudes: a full bar is only noise.
      let share = Double(entry.sigma / (1 + entry.sigma * entry.sigma).squareRoot())
      let y = bottom + gap / 2
      canvas.fill(x: x, y: y, width: width, height: 4, Self.frame)
      canvas.fill(
        x: x, y: y, width: Int((share * Double(width)).rounded()), height: 4, Self.accent)
      canvas.write("sigma \(Self.number(entry.sigma))", x: x, y: y + 12, scale: scale, Self.text)
      canvas.write(
        "t \(Int(entry.timestep.rounded()))", x: x, y: y + 12 + line, scale: scale, Self.faint)
    }
    return canvas.image
  }

  /// Two decimals.
  private static func number(_ value: Float) -> String {
    guard value.isFinite, value < 1e6 else { return "-" }
    let hundredths = Int((value * 100).rounded())
    let fraction = hundredths % 100
    return "\(hundredths / 100).\(fraction < 10 ? "0" : "")\(fraction)"
  }

  /// The standard deviation of each channel at the least noise, used to scale all entries.
  private static func spread(of latents: [Latents]) -> [Float] {
    guard let last = latents.last else { return [] }
    let plane = last.width * last.height
    return (0..<last.channels).map { channel in
      let values = last.values[channel * plane..<(channel + 1) * plane]
      let square = values.reduce(0) { $0 + $1 * $1 } / Float(plane)
      return max(square.squareRoot(), 1e-3)
    }
  }

  /// The first three channels as red, green and blue, each latent a square; noise beyond the
  /// image's own spread is scaled down to avoid saturation.
  private static func tile(of latents: Latents, spread: [Float], width: Int, height: Int) -> Image {
    let plane = latents.width * latents.height
    var pixels: [UInt8] = []
    pixels.reserveCapacity(3 * width * height)
    let channels = (0..<3).map { min($0, latents.channels - 1) }
    let scales = channels.map { channel -> Float in
      let values = latents.values[channel * plane..<(channel + 1) * plane]
      let square = values.reduce(0) { $0 + $1 * $1 } / Float(plane)
      return max(square.squareRoot(), spread[channel])
    }
    for row in 0..<height {
      for column in 0..<width {
        let place = row * latents.height / height * latents.width + column * latents.width / width
        for (index, channel) in channels.enumerated() {
          let value = latents.values[channel * plane + place] / scales[index]
          pixels.append(UInt8(max(0, min(255, 127.5 + 60 * value))))
        }
      }
    }
    return Image(width: width, height: height, pixels: pixels)
  }
}
