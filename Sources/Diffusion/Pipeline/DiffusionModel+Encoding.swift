import Engine
import Glibc
import ModelFormats
import Pictures

extension DiffusionModel {
  /// Latents that stand for a picture, drawn from what the VAE's encoder says of them.
  ///
  /// - Parameter mask: what of the picture is blotted out first, with the grey of the value 0.
  /// - Throws: ``EngineError``; ``GenerationError`` where the model has no encoder, or what it gives
  ///   is not finite.
  func encode(
    _ image: Image, without mask: Mask? = nil, _ random: inout any RandomSource
  ) throws -> Latents {
    guard let vaeEncoder else { throw DrawingLimits.noEncoder }
    let moments = try moments(of: image.value(without: mask), vaeEncoder)
    let half = moments.reals.count / 2
    let noise = random.normal(count: half)
    let values = (0..<half).map { index in
      let deviation = expf(0.5 * max(-30, min(20, moments.reals[half + index])))
      return (moments.reals[index] + deviation * noise[index] - shiftFactor) * scalingFactor
    }
    guard values.allSatisfy(\.isFinite) else {
      throw GenerationError(
        .notFinite, "the latents of the init image contain infinity or NaN",
        hint: "check the VAE's weights")
    }
    return Latents(values, shape: [1, latentChannels, image.height / 8, image.width / 8])
  }

  /// Means and logarithms of variances, of a large picture tile by tile.
  private func moments(of picture: Value, _ encoder: any Network) throws -> Value {
    func moments(_ picture: Value) throws -> Value {
      try encoder.run(["sample": picture], inputVersions: [:], observer: nil)
        .require("latent_parameters")
    }
    let (height, width) = (picture.shape[2] / 8, picture.shape[3] / 8)
    guard let limit = additions.tiling.limit, max(width, height) > limit else {
      return try moments(picture)
    }
    let pixels = Latents(picture.reals, shape: picture.shape)
    let channels = 2 * latentChannels
    let values = try Self.tiled(
      height: height, width: width, limit: limit, scale: 1, channels: channels
    ) { tile in
      try moments(
        pixels.part(
          top: 8 * tile.top, left: 8 * tile.left, height: 8 * tile.height, width: 8 * tile.width
        ).value
      ).reals
    }
    return Value(values, shape: [1, channels, height, width])
  }
}

extension Image {
  /// The picture as the VAE takes it: `[1, 3, height, width]`, from -1 to 1.
  func value(without mask: Mask? = nil) -> Value {
    let count = width * height
    let values = [Float](unsafeUninitializedCapacity: 3 * count) { output, initialized in
      for channel in 0..<3 {
        for pixel in 0..<count {
          let isBlotted = mask?.isRepainted[pixel] ?? false
          let level = 2 * (Float(pixels[3 * pixel + channel]) / 255) - 1
          output.initializeElement(at: channel * count + pixel, to: isBlotted ? 0 : level)
        }
      }
      initialized = 3 * count
    }
    return Value(values, shape: [1, 3, height, width])
  }
}
