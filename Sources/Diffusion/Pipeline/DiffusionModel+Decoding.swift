import Engine

extension DiffusionModel {
  /// The picture that latents of one picture stand for.
  ///
  /// - Throws: ``EngineError``; ``GenerationError`` where the picture is not finite.
  public func decode(
    _ latents: Latents, observer: ((StepTiming) -> Void)? = nil
  ) throws -> Image {
    let scaled = latents.mapped { $0 / scalingFactor + shiftFactor }
    let outputs = try vaeDecoder.run(
      ["latent_sample": scaled.value], generations: [:], observer: observer)
    let picture = try outputs.require("sample")
    guard picture.reals.allSatisfy(\.isFinite) else {
      throw GenerationError(
        .notFinite, "the decoded picture is not finite", hint: "check the VAE's weights")
    }
    return Image(decoded: picture.reals, width: latents.width * 8, height: latents.height * 8)
  }
}
