import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import Pictures

/// What a model can draw, by its configurations alone: known before any weights are read.
public struct DrawingLimits: Sendable {
  /// How the model was trained, and its own scheduler.
  public let scheduler: SchedulerConfiguration
  /// The text encoder's layers, of which clip skip chooses one.
  public let textLayers: Int
  /// Channels of the latents, 4 for Stable Diffusion.
  public let latentChannels: Int
  /// The channels that the UNet takes; more than the latents' in an inpainting model.
  public let unetChannels: Int
  /// The width of the embedding of the guidance scale that the UNet takes, in latent consistency
  /// models; nil where guidance is by a negative prompt.
  public let guidanceWidth: Int?
  /// The side of a picture in pixels where nothing else is asked for.
  public let defaultSide: Int
  /// Whether the VAE has an encoder, so that pictures can be started from.
  public let readsPictures: Bool

  /// The longest side of a picture in pixels.
  static let longestSide = 8192

  /// Reads configurations only.
  ///
  /// - Throws: ``FormatError`` where a component or its configuration is missing or not supported.
  public init(of checkpoint: ModelCheckpoint) throws(FormatError) {
    let unet = try DiffusionModel.configuration(
      of: checkpoint.require(.unet), UNetConfiguration.init)
    let vae = try Autoencoder(checkpoint.require(.vae))
    textLayers = try DiffusionModel.configuration(
      of: checkpoint.require(.textEncoder), CLIPTextConfiguration.init
    ).layers
    scheduler = try DiffusionModel.scheduler(of: checkpoint)
    latentChannels = vae.latentChannels
    unetChannels = unet.inputChannels
    guidanceWidth = unet.guidanceWidth
    defaultSide = unet.sampleSize * DiffusionModel.downsampling
    readsPictures = !vae.isTiny
  }

  /// Those of a model that is loaded.
  init(_ model: DiffusionModel) {
    scheduler = model.scheduler
    textLayers = model.textLayers
    latentChannels = model.latentChannels
    unetChannels = model.unetChannels
    guidanceWidth = model.guidanceWidth
    defaultSide = model.defaultSide
    readsPictures = model.codec.encoder != nil
  }

  /// Refuses what the model cannot do: in all passes, but for what prompts say and for how many
  /// ControlNets are loaded.
  ///
  /// - Throws: ``GenerationError`` `request`, saying what would do; ``FormatError`` where the
  ///   model's scheduler configuration cannot be honoured.
  public func check(_ request: GenerationRequest) throws {
    _ = try request.randomSource.source(seed: request.seed)
    if let variation = request.variation {
      _ = try request.randomSource.source(seed: variation.seed)
    }
    try checkPrompts(of: request)
    try checkClipSkip(of: request)
    try checkStart(of: request, sampler(for: request).scheduler)
    try checkEnlargement(of: request)
  }

  /// The scheduler that a request asks for, with its descriptor and configuration.
  ///
  /// - Throws: as ``check(_:)``.
  func sampler(
    for request: GenerationRequest
  ) throws -> (
    descriptor: SchedulerDescriptor, configuration: SchedulerConfiguration,
    scheduler: any Scheduler
  ) {
    let descriptor = try request.scheduler ?? scheduler.defaultScheduler()
    let configuration = try scheduler.applying(request.sampling, to: descriptor, eta: request.eta)
    do throws(FormatError) {
      return (
        descriptor, configuration,
        try configuration.scheduler(descriptor, steps: request.steps, eta: request.eta)
      )
    } catch {
      guard error.context == Timesteps.context else { throw error }
      throw GenerationError(.request, error.message, hint: error.hint)
    }
  }

  /// Warnings about a request's sampler.
  ///
  /// - Throws: as ``check(_:)``.
  public func samplingWarnings(for request: GenerationRequest) throws -> [String] {
    let (descriptor, configuration, scheduler) = try sampler(for: request)
    var result: [String] = []
    if request.eta == nil, let warning = descriptor.eta?.defaultWarning { result.append(warning) }
    if configuration.rescalesBetasToZeroSNR, configuration.predictionType == .epsilon {
      // Some schedulers do not rescale.
      var plain = configuration
      plain.rescalesBetasToZeroSNR = false
      let other = try plain.scheduler(descriptor, steps: request.steps, eta: request.eta)
      if scheduler.noised([1], with: [1], at: 0) != other.noised([1], with: [1], at: 0) {
        result.append(
          "the model's noise schedule is rescaled to zero terminal SNR, but its UNet predicts noise"
            + " (epsilon): at the first step the latents are all noise, so the image may be gray or"
            + " overexposed; such models usually predict velocity (v_prediction)")
      }
    }
    return result
  }

  /// What of a request is left out of account, as a person should know.
  public func ignored(by request: GenerationRequest) -> [String] {
    guard guidanceWidth != nil else { return [] }
    let why = "this UNet takes the guidance scale as an embedding (LCM)"
    var result: [String] = []
    if !request.negativePrompt.isEmpty {
      result.append("the negative prompt has no effect: \(why), and only the prompt is evaluated")
    }
    if request.networks.guidanceInterval != 0...1 {
      result.append("the guidance interval has no effect: \(why), in every step")
    }
    return result
  }

  func checkPrompts(of request: GenerationRequest) throws(GenerationError) {
    let limit = GenerationRequest.promptLimit
    for (name, prompt) in [
      ("prompt", request.prompt), ("negative prompt", request.negativePrompt),
    ] where prompt.utf8.count > limit {
      throw GenerationError(
        .request, "the \(name) has \(prompt.utf8.count) bytes (maximum \(limit))",
        hint: "shorten it")
    }
  }

  func checkClipSkip(of request: GenerationRequest) throws(GenerationError) {
    let skip = request.promptStyle.clipSkip
    guard (1...textLayers).contains(skip) else {
      throw GenerationError(
        .request, "clip skip must be 1 (the last layer) to \(textLayers) (got \(skip))")
    }
  }

  /// What a picture starts from: sizes, noise, a picture, a mask.
  func checkStart(
    of request: GenerationRequest, _ scheduler: any Scheduler
  ) throws(GenerationError) {
    let inputs = UNetInputs(channels: unetChannels, latents: latentChannels)
    if let refusal = inputs.refusal {
      throw GenerationError(.request, refusal.message, hint: refusal.hint)
    }
    if case .unknown = inputs {
      throw GenerationError(
        .request,
        "the UNet has \(unetChannels.of("input channel")), which does not match an inpainting model"
      )
    }
    let takesMask = inputs == .inpainting
    guard !takesMask || request.initial?.mask != nil else {
      throw GenerationError(
        .request, "this is an inpainting model, which needs an init image and a mask",
        hint: request.initial == nil
          ? "pass \(set: .initialPicture) with the image and \(set: .mask) with what to repaint in white"
          : "pass \(set: .mask) with what to repaint in white")
    }
    for side in [request.width, request.height].compactMap({ $0 })
    where side % DiffusionModel.downsampling != 0 || !(8...Self.longestSide ~= side) {
      throw GenerationError(
        .request,
        "the width and height must be multiples of 8 from 8 to \(Self.longestSide) (got \(side))")
    }
    if let initial = request.initial { try check(initial, of: request, scheduler) }
    guard let noise = request.noise else { return }
    let width = request.initial?.image.width ?? request.width
    let height = request.initial?.image.height ?? request.height
    let shape = [
      1, latentChannels, height.map { $0 / 8 } ?? noise.height, width.map { $0 / 8 } ?? noise.width,
    ]
    guard noise.shape == shape else {
      throw GenerationError(
        .request, "the latents have the shape \(noise.shape), but the image needs \(shape)")
    }
  }

  private func check(
    _ initial: InitialPicture, of request: GenerationRequest, _ scheduler: any Scheduler
  ) throws(GenerationError) {
    let image = initial.image
    for (side, asked) in [(image.width, request.width), (image.height, request.height)] {
      guard side % DiffusionModel.downsampling == 0, asked == nil || asked == side else {
        throw GenerationError(
          .request, "the init image is \(image.width)x\(image.height)",
          hint: "scale it to the requested size, in multiples of \(DiffusionModel.downsampling)")
      }
    }
    guard readsPictures else { throw LatentCodec.noEncoder }
    let first = scheduler.firstEvaluation(strength: initial.strength, steps: request.steps)
    guard first < scheduler.timesteps.count else {
      throw GenerationError(
        .request, "a strength of \(initial.strength) skips all \(request.steps) steps",
        hint: "increase the strength or the number of steps")
    }
  }

  /// The second pass, which is to be refused before the first is drawn.
  private func checkEnlargement(of request: GenerationRequest) throws {
    guard let hiresPass = request.hiresPass else { return }
    let width =
      request.initial?.image.width ?? request.width ?? request.noise.map { 8 * $0.width }
      ?? defaultSide
    let height =
      request.initial?.image.height ?? request.height ?? request.noise.map { 8 * $0.height }
      ?? defaultSide
    for side in [width, height] where hiresPass.side(side) > Self.longestSide {
      throw GenerationError(
        .request,
        "the second pass enlarges a side of \(side) pixels to \(hiresPass.side(side)) (maximum"
          + " \(Self.longestSide))",
        hint: "use a smaller size or scale")
    }
    let longer = max(width, height)
    guard hiresPass.side(width) > width || hiresPass.side(height) > height else {
      throw GenerationError(
        .request,
        "a scale of \(hiresPass.scale) does not enlarge \(width)x\(height) pixels by a multiple of 8",
        hint: HiresPass.leastScale(of: longer).map { "use a scale of \($0) or more" }
          ?? "the image has the maximum size")
    }
    guard readsPictures else { throw LatentCodec.noEncoder }
    let larger = request.secondPass(of: hiresPass)
    let scheduler = try sampler(for: larger).scheduler
    guard
      scheduler.firstEvaluation(strength: hiresPass.strength, steps: larger.steps)
        < scheduler.timesteps.count
    else {
      throw GenerationError(
        .request,
        "a strength of \(hiresPass.strength) skips all \(larger.steps) steps of the second pass",
        hint: "raise \(set: .hiresStrength) or \(set: .hiresSteps)")
    }
  }
}

extension GenerationRequest {
  /// The settings of the pass that draws the finished picture again; what it starts from is missing.
  func secondPass(of hiresPass: HiresPass) -> GenerationRequest {
    var larger = self
    larger.hiresPass = nil
    larger.firstPassSteps = steps
    larger.steps = hiresPass.steps ?? steps
    larger.noise = nil
    return larger
  }
}

extension DiffusionModel {
  /// What it can draw.
  public var limits: DrawingLimits { DrawingLimits(self) }
}
