import Pictures

/// Latents as an image: the first three channels as red, green and blue, each latent a square.
struct LatentTile {
  /// The standard deviation of each channel that fills the middle of the range; louder channels are
  /// scaled down to it.
  let spread: [Float]

  /// Scaled to latents of no or little noise, so that all tiles of a row compare.
  ///
  /// - Parameter latents: one picture's.
  init(comparedWith latents: Latents) {
    spread = (0..<latents.channels).map { max(Self.deviation(of: latents, $0), 1e-3) }
  }

  /// For noise, which has standard deviation 1.
  init(noiseOf channels: Int) { spread = [Float](repeating: 1, count: channels) }

  private static func deviation(of latents: Latents, _ channel: Int) -> Float {
    let plane = latents.width * latents.height
    let square = latents.values[channel * plane..<(channel + 1) * plane]
      .reduce(0) { $0 + $1 * $1 }
    return (square / Float(plane)).squareRoot()
  }

  /// The image of one picture's latents at a size in pixels.
  func image(of latents: Latents, width: Int, height: Int) -> Image {
    let plane = latents.width * latents.height
    var pixels: [UInt8] = []
    pixels.reserveCapacity(3 * width * height)
    let channels = (0..<3).map { min($0, latents.channels - 1) }
    let scales = channels.map { max(Self.deviation(of: latents, $0), spread[$0]) }
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
