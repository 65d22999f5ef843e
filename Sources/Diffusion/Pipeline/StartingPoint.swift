/// What the first step of a picture starts from.
struct StartingPoint {
  /// Of standard deviation 1.
  let noise: Latents
  /// The latents before the first evaluation.
  let latents: Latents
  /// The first of the scheduler's evaluations that is made.
  let firstEvaluation: Int
}

extension DiffusionModel {
  /// The start of a request's picture.
  ///
  /// - Throws: ``GenerationError`` `request` where a size cannot be drawn.
  func startingPoint(
    for request: GenerationRequest, _ scheduler: any Scheduler,
    _ random: inout any RandomSource
  ) throws(GenerationError) -> StartingPoint {
    let noise = try startingNoise(for: request, &random)
    return StartingPoint(
      noise: noise, latents: noise.mapped { $0 * scheduler.initialNoiseSigma },
      firstEvaluation: 0)
  }

  /// The noise of the request, or that of its seed in the size asked for.
  private func startingNoise(
    for request: GenerationRequest, _ random: inout any RandomSource
  ) throws(GenerationError) -> Latents {
    let (width, height) = (request.width, request.height)
    for side in [width, height].compactMap({ $0 }) where side % 8 != 0 || !(8...8192 ~= side) {
      throw GenerationError(
        .request, "a side of \(side) pixels cannot be drawn",
        hint: "give a multiple of 8 from 8 to 8192")
    }
    if let noise = request.noise {
      let shape = [
        1, latentChannels, height.map { $0 / 8 } ?? noise.height,
        width.map { $0 / 8 } ?? noise.width,
      ]
      guard noise.shape == shape else {
        throw GenerationError(
          .request, "the latents have the shape \(noise.shape), not \(shape)",
          hint: "give latents of one picture of the size asked for")
      }
      return noise
    }
    let shape = [
      1, latentChannels, (height ?? defaultSide) / 8, (width ?? defaultSide) / 8,
    ]
    return Latents(random.normal(count: shape.reduce(1, *)), shape: shape)
  }
}
