import Engine
import ModelFormats
import Pictures

/// A model's VAE: pictures to latents in the UNet's scale, and back.
package struct LatentCodec: Sendable {
  /// `latent_sample [1, channels, h, w]`, in the VAE's own scale, to `sample [1, 3, 8h, 8w]` in -1...1.
  package let decoder: any Network
  /// `sample [1, 3, 8h, 8w]` in -1...1 to `latent_parameters [1, 2 * channels, h, w]`, the mean and
  /// the logarithm of the variance of each latent; nil if pictures cannot be encoded.
  package let encoder: (any Network)?
  /// Channels of the latents, 4 for Stable Diffusion.
  package let latentChannels: Int
  /// How the UNet's latents follow from the VAE's.
  package let scale: LatentScale
  /// How large pictures are encoded and decoded.
  package let tiling: VAETiling

  package init(
    decoder: any Network, encoder: (any Network)? = nil, latentChannels: Int = 4,
    scale: LatentScale, tiling: VAETiling = .automatic
  ) {
    self.decoder = decoder
    self.encoder = encoder
    self.latentChannels = latentChannels
    self.scale = scale
    self.tiling = tiling
  }

  /// The same with another decoder.
  package func decoding(with decoder: any Network) -> LatentCodec {
    LatentCodec(
      decoder: decoder, encoder: encoder, latentChannels: latentChannels, scale: scale,
      tiling: tiling)
  }

  /// The error for a model whose VAE cannot encode.
  static let noEncoder = GenerationError(
    .request, "the model has no VAE encoder, which init images need",
    hint: "use a model with a complete VAE")
}

// Decoding.
extension LatentCodec {
  /// The picture of one picture's latents, in the UNet's scale. Large ones are decoded in tiles.
  ///
  /// - Throws: ``EngineError``; ``GenerationError`` if the picture is not finite.
  package func decode(
    _ latents: Latents, observer: ((StepTiming) -> Void)? = nil
  ) throws -> Image {
    let unscaled = scale.removed(from: latents)
    guard let limit = tiling.limit, max(latents.width, latents.height) > limit else {
      return try Self.image(unscaled, decoder: decoder, observer)
    }
    let values = try Self.tiled(
      height: latents.height, width: latents.width, limit: limit,
      scale: DiffusionModel.downsampling, channels: 3
    ) { tile in
      let part = unscaled.part(
        top: tile.top, left: tile.left, height: tile.height, width: tile.width)
      return try decoder.run(
        ["latent_sample": part.value], inputVersions: [:], observer: observer
      ).require("sample").reals
    }
    return try Self.image(values, of: latents)
  }

  /// The picture that a decoder makes of its own input, whole.
  ///
  /// - Throws: as ``decode(_:observer:)``.
  static func image(
    _ latents: Latents, decoder: any Network, _ observer: ((StepTiming) -> Void)?
  ) throws -> Image {
    let outputs = try decoder.run(
      ["latent_sample": latents.value], inputVersions: [:], observer: observer)
    return try image(outputs.require("sample").reals, of: latents)
  }

  private static func image(_ values: [Float], of latents: Latents) throws -> Image {
    guard values.allSatisfy(\.isFinite) else {
      throw GenerationError(
        .notFinite, "the decoded image contains infinity or NaN", hint: "check the VAE's weights")
    }
    let side = DiffusionModel.downsampling
    return Image(decoded: values, width: latents.width * side, height: latents.height * side)
  }
}

// Encoding.
extension LatentCodec {
  /// Latents of a picture in the UNet's scale, sampled from the posterior.
  ///
  /// - Parameter mask: the part of the picture that is replaced by gray, the value 0, first.
  /// - Throws: as ``posterior(of:without:)``.
  package func encode(
    _ image: Image, without mask: Mask? = nil, _ random: inout any RandomSource
  ) throws -> Latents {
    try scale.applied(to: posterior(of: image, without: mask).sample(&random))
  }

  /// The distribution of a picture's latents, in the VAE's own scale. Large pictures are encoded in
  /// tiles.
  ///
  /// - Parameters:
  ///   - image: sides are multiples of 8.
  ///   - mask: the part of the picture that is replaced by gray, the value 0, first.
  /// - Throws: ``EngineError``; ``GenerationError`` if there is no encoder, or its output is not
  ///   finite.
  package func posterior(of image: Image, without mask: Mask? = nil) throws -> LatentPosterior {
    guard let encoder else { throw Self.noEncoder }
    let moments = try moments(of: image.value(without: mask), encoder)
    guard moments.allSatisfy(\.isFinite) else {
      throw GenerationError(
        .notFinite, "the latents of the init image contain infinity or NaN",
        hint: "check the VAE's weights")
    }
    let side = DiffusionModel.downsampling
    let shape = [1, latentChannels, image.height / side, image.width / side]
    let half = moments.count / 2
    return LatentPosterior(
      mean: Latents(Array(moments[..<half]), shape: shape),
      logVariance: Array(moments[half...]))
  }

  /// Means and logarithms of variances, `[2 * channels, h, w]`.
  private func moments(of picture: Value, _ encoder: any Network) throws -> [Float] {
    func moments(_ picture: Value) throws -> [Float] {
      try encoder.run(["sample": picture], inputVersions: [:], observer: nil)
        .require("latent_parameters").reals
    }
    let side = DiffusionModel.downsampling
    let (height, width) = (picture.shape[2] / side, picture.shape[3] / side)
    guard let limit = tiling.limit, max(width, height) > limit else {
      return try moments(picture)
    }
    let pixels = Latents(picture.reals, shape: picture.shape)
    return try Self.tiled(
      height: height, width: width, limit: limit, scale: 1, channels: 2 * latentChannels
    ) { tile in
      try moments(
        pixels.part(
          top: side * tile.top, left: side * tile.left, height: side * tile.height,
          width: side * tile.width
        ).value)
    }
  }
}

extension Latents {
  /// A rectangle of one picture's latents.
  fileprivate func part(top: Int, left: Int, height: Int, width: Int) -> Latents {
    var part: [Float] = []
    part.reserveCapacity(channels * height * width)
    for channel in 0..<channels {
      for row in top..<(top + height) {
        let start = (channel * self.height + row) * self.width + left
        part += values[start..<(start + width)]
      }
    }
    return Latents(part, shape: [1, channels, height, width])
  }
}

extension Image {
  /// The picture as the VAE takes it: `[1, 3, height, width]`, from -1 to 1.
  fileprivate func value(without mask: Mask? = nil) -> Value {
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
