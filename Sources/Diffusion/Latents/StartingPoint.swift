import Engine
import Pictures

/// An init image (img2img).
public struct InitialPicture: Sendable, Hashable {
  /// Its sides are multiples of 8, and equal to the output's.
  public var image: Image
  /// Denoising strength, above 0 up to 1: the fraction of steps to run.
  public var strength: Double
  /// The area to repaint; everything if nil.
  public var mask: Mask?
  /// Where the drawn picture shows in the end, with this one behind it; nil leaves it as it was
  /// decoded, what is kept too. Of the picture's size. A
  /// safety checker sees the picture before.
  public var coverage: Coverage?

  /// A picture to start from.
  ///
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

/// The starting point of an image's first step.
struct StartingPoint {
  /// Noise with standard deviation 1.
  let noise: Latents
  /// The latents before the first evaluation.
  let latents: Latents
  /// The first of the scheduler's evaluations to run.
  var firstEvaluation = 0
  /// What is restored after each step if a part of the image is kept.
  var keeping: Keeping?
  /// The additional inputs of an inpainting UNet, `[1, 5, height, width]`: the mask and the
  /// masked-image latents.
  var condition: Latents?
}

/// The parts of an image that are kept.
///
/// Source: Lugmayr et al., "RePaint" (2022), without resampling; as in diffusers'
/// `StableDiffusionInpaintPipeline` with a four-channel UNet.
struct Keeping {
  let clean: Latents
  let noise: Latents
  /// `[height, width]`, 1 where the image is repainted.
  let mask: [Float]

  /// Latents after an evaluation, with the kept part at the noise level of the next one.
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
  /// The starting point of a request.
  ///
  /// With an init image, random numbers are drawn in the order of diffusers'
  /// `StableDiffusionImg2ImgPipeline`, and with a mask in that of `StableDiffusionInpaintPipeline`:
  /// one tensor for the image's latents, one of noise, one for the latents of the kept part.
  ///
  /// - Throws: ``GenerationError`` `request` if a size is not supported or the image is
  ///   incompatible with the model; ``EngineError``.
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
      let clean = try codec.encode(image, &random)
      let noise = try startingNoise(for: request, &random)
      return StartingPoint(
        noise: noise,
        latents: noise.with(
          scheduler.noised(clean.values, with: noise.values, at: first)), firstEvaluation: first)
    }
    let isWhole = initial.strength == 1
    let takesMask = unetChannels != latentChannels
    let clean = takesMask && isWhole ? nil : try codec.encode(image, &random)
    let noise = try startingNoise(for: request, &random)
    let kept = try codec.encode(image, without: mask, &random)
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

  /// The noise of the request, or the noise of its seeds at the requested size.
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
