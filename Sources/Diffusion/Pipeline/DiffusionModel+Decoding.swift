import Engine
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
      return try LatentCodec.image(latents, decoder: tiny, observer)
    }
    return try codec.decode(latents, observer: observer)
  }

  /// What a tiny autoencoder makes of latents, where one is loaded: `latent_sample`, as the UNet
  /// has it, to `sample` in -1...1.
  package var previewDecoder: (any Network)? { additions.tinyDecoder }

  /// The picture so far, by the tiny autoencoder where one is loaded, else by the VAE.
  ///
  /// - Throws: as ``decode(_:observer:)``.
  package func decodePreview(_ latents: Latents) throws -> Image {
    guard let previewDecoder else { return try decode(latents) }
    return try LatentCodec.image(latents, decoder: previewDecoder, nil)
  }
}
