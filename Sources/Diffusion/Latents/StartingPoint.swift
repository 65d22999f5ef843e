import Engine
import Pictures

/// A picture to start from instead of noise alone.
public struct InitialPicture: Sendable, Hashable {
  /// Its sides are multiples of 8, and the drawn picture's.
  public var image: Image
  /// The share of the steps that is taken, above 0 up to 1: how much of the picture may change.
  public var strength: Double
  /// What is painted anew; all of it where nil.
  public var mask: Mask?
  /// Where the drawn picture shows in the end, with this one behind it; nil leaves it as it was
  /// decoded, what is kept too. Of the picture's size. `draw(_:progress:observer:)`
  /// honours it; a safety checker sees the picture before.
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
    try limits.checkStart(of: request, scheduler)
    guard let initial = request.initial else {
      let noise = try startingNoise(for: request, &random)
      return StartingPoint(
        noise: noise, latents: noise.mapped { $0 * scheduler.initialNoiseSigma })
    }
    var request = request
    let image = initial.image
    (request.width, request.height) = (image.width, image.height)
    let first = scheduler.firstEvaluation(strength: initial.strength, steps: request.steps)
    guard let mask = initial.mask else {
      let clean = try encode(image, &random)
      let noise = try startingNoise(for: request, &random)
      return StartingPoint(
        noise: noise,
        latents: noise.with(
          scheduler.noised(clean.values, with: noise.values, at: first)), firstEvaluation: first)
    }
    let isWhole = initial.strength == 1
    let takesMask = unetChannels != latentChannels
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

  /// The noise of the request, or that of its seeds in the size asked for.
  private func startingNoise(
    for request: GenerationRequest, _ random: inout any RandomSource
  ) throws -> Latents {
    if let noise = request.noise { return noise }
    let shape = [
      1, latentChannels, (request.height ?? defaultSide) / 8,
      (request.width ?? defaultSide) / 8,
    ]
    let noise = Latents(random.normal(count: shape.reduce(1, *)), shape: shape)
    let size = request.seedSize.map { [1, latentChannels, $0.height / 8, $0.width / 8] } ?? shape
    let count = size.reduce(1, *)
    var inner = noise
    if size != shape {
      var source = try request.randomSource.source(seed: request.seed)
      inner = Latents(source.normal(count: count), shape: size)
    }
    if let variation = request.variation {
      var second = try request.randomSource.source(seed: variation.seed)
      inner = variation.mixed(inner, Latents(second.normal(count: count), shape: size))
    }
    return size == shape ? inner : SeedSize.centered(inner, in: noise)
  }
}
