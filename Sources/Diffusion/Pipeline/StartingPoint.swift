import Engine

/// A picture to start from instead of noise alone.
public struct InitialPicture: Sendable, Hashable {
  /// Its sides are multiples of 8, and the drawn picture's.
  public var image: Image
  /// The share of the steps that is taken, above 0 up to 1: how much of the picture may change.
  public var strength: Double
  /// What is painted anew; all of it where nil.
  public var mask: Mask?
  /// Where the drawn picture shows in the end, with this one behind it; nil leaves it as it was
  /// decoded, what is kept too. Of the picture's size.
  public var coverage: Coverage?

  /// - Parameter mask: of the picture's size.
  public init(_ image: Image, strength: Double = 0.75, mask: Mask? = nil) {
    precondition(
      mask.map { $0.width == image.width && $0.height == image.height } ?? true,
      "a mask has the picture's size")
    self.image = image
    self.strength = strength
    self.mask = mask
  }
}

/// What the first step of a picture starts from.
struct StartingPoint {
  /// Of standard deviation 1.
  let noise: Latents
  /// The latents before the first evaluation.
  let latents: Latents
  /// The first of the scheduler's evaluations that is made.
  var firstEvaluation = 0
  /// What is put back after each step where a part of a picture is kept.
  var keeping: Keeping?
  /// What the UNet of an inpainting model takes beside the latents, `[1, 5, height, width]`: the
  /// mask, and the latents of the picture without what is painted anew.
  var condition: Latents?
}

/// The parts of a picture that stay as they are.
///
/// Source: Lugmayr et al., "RePaint" (2022), without resampling; as diffusers'
/// `StableDiffusionInpaintPipeline` does it with a UNet of four channels.
struct Keeping {
  let clean: Latents
  let noise: Latents
  /// `[height, width]`, 1 where the picture is painted anew.
  let mask: [Float]

  /// Latents after an evaluation, with what is kept as noisy as it is at the next one.
  func applied(
    to values: [Float], after evaluation: Int, _ scheduler: any Scheduler
  ) -> [Float] {
    let next = evaluation + 1
    let kept =
      next < scheduler.timesteps.count
      ? scheduler.noised(clean.values, with: noise.values, at: next) : clean.values
    return values.indices.map { index in
      let share = mask[index % mask.count]
      return (1 - share) * kept[index] + share * values[index]
    }
  }
}

extension DiffusionModel {
  /// The start of a request's picture.
  ///
  /// With a picture to start from, numbers are drawn in the order of diffusers'
  /// `StableDiffusionImg2ImgPipeline`, and with a mask in that of `StableDiffusionInpaintPipeline`:
  /// one tensor for the picture's latents, one of noise, one for the latents of what is kept.
  ///
  /// - Throws: ``GenerationError`` `request` where a size cannot be drawn or the picture does not go
  ///   with the model; ``EngineError``.
  func startingPoint(
    for request: GenerationRequest, _ scheduler: any Scheduler,
    _ random: inout any RandomSource
  ) throws -> StartingPoint {
    guard let initial = request.initial else {
      guard unetChannels == latentChannels else {
        throw GenerationError(
          .request, "this is an inpainting model; it repaints a part of a picture",
          hint: "give --init with the picture and --mask with what to repaint in white")
      }
      let noise = try startingNoise(for: request, &random)
      return StartingPoint(
        noise: noise, latents: noise.mapped { $0 * scheduler.initialNoiseSigma })
    }
    var request = request
    let image = initial.image
    for (side, asked) in [(image.width, request.width), (image.height, request.height)] {
      guard side % Self.downsampling == 0, asked == nil || asked == side else {
        throw GenerationError(
          .request, "the picture to start from is \(image.width)x\(image.height)",
          hint: "give it in the size to draw, in multiples of \(Self.downsampling)")
      }
    }
    (request.width, request.height) = (image.width, image.height)
    let first = scheduler.firstEvaluation(strength: initial.strength, steps: request.steps)
    guard first < scheduler.timesteps.count else {
      throw GenerationError(
        .request, "a strength of \(initial.strength) leaves none of \(request.steps) steps",
        hint: "give more strength or more steps")
    }
    let takesMask = unetChannels == latentChannels + 1 + latentChannels
    guard takesMask || unetChannels == latentChannels else {
      throw GenerationError(
        .request, "the UNet takes \(unetChannels) channels, which is no inpainting model's number")
    }
    guard let mask = initial.mask else {
      guard !takesMask else {
        throw GenerationError(
          .request, "this is an inpainting model; it repaints a part of a picture",
          hint: "give --mask with what to repaint in white")
      }
      let clean = try encode(image, &random)
      let noise = try startingNoise(for: request, &random)
      return StartingPoint(
        noise: noise,
        latents: noise.with(
          scheduler.noised(clean.values, with: noise.values, at: first)), firstEvaluation: first)
    }
    let isWhole = initial.strength == 1
    let clean = takesMask && isWhole ? nil : try encode(image, &random)
    let noise = try startingNoise(for: request, &random)
    let kept = try encode(image, without: mask, &random)
    let latents =
      isWhole
      ? noise.mapped { $0 * scheduler.initialNoiseSigma }
      : noise.with(scheduler.noised(clean?.values ?? [], with: noise.values, at: first))
    var point = StartingPoint(noise: noise, latents: latents, firstEvaluation: first)
    if takesMask {
      point.condition = Latents(
        mask.latents() + kept.values, shape: [1, 1 + latentChannels, noise.height, noise.width])
    } else if let clean {
      point.keeping = Keeping(clean: clean, noise: noise, mask: mask.latents())
    }
    return point
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
