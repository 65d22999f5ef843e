import Engine
import ModelFormats
import Pictures

extension DiffusionModel {
  /// The picture that latents of one picture stand for.
  ///
  /// Large ones are decoded in tiles, as the model was loaded to.
  ///
  /// - Throws: ``EngineError``; ``GenerationError`` where the picture is not finite.
  package func decode(
    _ latents: Latents, observer: ((StepTiming) -> Void)? = nil
  ) throws -> Image {
    if additions.tinyDecodesAll, let tiny = additions.tinyDecoder {
      return try Self.image(latents, decoder: tiny, observer)
    }
    let scaled = latents.mapped { $0 / scalingFactor + shiftFactor }
    guard let limit = additions.tiling.limit, max(latents.width, latents.height) > limit else {
      return try Self.image(scaled, decoder: vaeDecoder, observer)
    }
    let values = try Self.tiled(
      height: latents.height, width: latents.width, limit: limit, scale: Self.downsampling,
      channels: 3
    ) { tile in
      let part = scaled.part(
        top: tile.top, left: tile.left, height: tile.height, width: tile.width)
      return try vaeDecoder.run(
        ["latent_sample": part.value], inputVersions: [:], observer: observer
      ).require("sample").reals
    }
    return try Self.image(values, of: latents)
  }

  /// What a tiny autoencoder makes of latents, where one is loaded: `latent_sample`, as the UNet
  /// has it, to `sample` in -1...1.
  package var previewDecoder: (any Network)? { additions.tinyDecoder }

  /// The picture so far, by the tiny autoencoder where one is loaded, else by the VAE.
  ///
  /// - Throws: as ``decode(_:observer:)``.
  package func decodePreview(_ latents: Latents) throws -> Image {
    guard let previewDecoder else { return try decode(latents) }
    return try Self.image(latents, decoder: previewDecoder, nil)
  }

  private static func image(
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
    return Image(
      decoded: values, width: latents.width * downsampling, height: latents.height * downsampling)
  }
}

extension Latents {
  /// A rectangle of one picture's latents.
  func part(top: Int, left: Int, height: Int, width: Int) -> Latents {
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
