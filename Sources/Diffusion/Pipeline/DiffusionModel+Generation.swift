import Engine
import Synchronization

extension DiffusionModel {
  /// Called as a picture comes along; returns whether to go on.
  public typealias ProgressHandler = (GenerationProgress) -> Bool

  /// Draws a picture.
  ///
  /// As diffusers' `StableDiffusionPipeline` does it: noise from the seed, one evaluation of the
  /// UNet on negative prompt and prompt together for each of the scheduler's timesteps, guidance,
  /// the scheduler's step; then the VAE's decoder.
  ///
  /// - Parameters:
  ///   - progress: called before the first and after each evaluation, and before decoding.
  ///   - observer: called after each layer with its network and what it took.
  /// - Throws: ``GenerationError``; ``FormatError`` where the scheduler cannot be had;
  ///   ``EngineError``.
  public func generate(
    _ request: GenerationRequest, progress: ProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> Generation {
    let start = ContinuousClock.now
    var timings = GenerationTimings(load: loadSeconds)
    let name = try request.scheduler ?? self.scheduler.defaultName()
    var scheduler = try self.scheduler.scheduler(name, steps: request.steps, eta: request.eta)
    var random: any RandomSource = TorchRandom(seed: request.seed)
    let noise = try startingNoise(for: request, &random)
    var latents = noise.mapped { $0 * scheduler.initialNoiseSigma }
    let evaluations = scheduler.timesteps.count
    func report(_ stage: GenerationProgress.Stage, _ done: Int, _ latents: Latents) throws {
      let progress =
        progress?(
          GenerationProgress(
            stage: stage, evaluations: done, total: evaluations, latents: latents)) ?? true
      guard progress else {
        throw GenerationError(.cancelled, "cancelled after \(done) of \(evaluations) evaluations")
      }
    }

    func named(_ network: String) -> ((StepTiming) -> Void)? {
      observer.map { observer in { observer(network, $0) } }
    }

    try report(.encoding, 0, latents)
    let prompts = (request.isGuided ? [request.negativePrompt] : []) + [request.prompt]
    let encodings = prompts.map { tokenizer.encode($0, length: tokenLimit) }
    let (states, textSeconds) = try timed {
      try hiddenStates(of: encodings, observer: named("text_encoder"))
    }
    timings.textEncoder = textSeconds

    try report(.denoising, 0, latents)
    // A new number tells the networks that these states are not those of an earlier picture.
    let generation = Self.generations.add(1, ordering: .relaxed).newValue
    for evaluation in 0..<evaluations {
      let (input, inputSeconds) = timed {
        latents.with(scheduler.modelInput(for: latents.values, at: evaluation))
      }
      let (output, unetSeconds) = try timed {
        try unet.predict(
          input, timestep: scheduler.timesteps[evaluation], states: states,
          guidanceScale: request.guidanceScale, generation: generation,
          observer: named("unet"))
      }
      let (values, stepSeconds) = timed {
        scheduler.step(
          modelOutput: output, at: evaluation, sample: latents.values, random: &random)
      }
      latents = latents.with(values)
      timings.unet.append(unetSeconds)
      timings.scheduler += inputSeconds + stepSeconds
      guard values.allSatisfy(\.isFinite) else {
        throw GenerationError(
          .notFinite,
          "the latents are no longer finite after evaluation \(evaluation + 1) of \(evaluations)",
          hint: "try another scheduler, more steps or less guidance, or check the model's weights")
      }
      try report(.denoising, evaluation + 1, latents)
    }

    try report(.decoding, evaluations, latents)
    let (image, vaeSeconds) = try timed { try decode(latents, observer: named("vae_decoder")) }
    timings.vae = vaeSeconds
    timings.total = (ContinuousClock.now - start).seconds
    return Generation(
      image: image, latents: latents, noise: noise, prompt: encodings[encodings.count - 1],
      negativePrompt: request.isGuided ? encodings[0] : nil, scheduler: name, timings: timings)
  }

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

  private static let generations = Atomic<Int>(0)

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

  /// `[prompts, tokens, width]`
  private func hiddenStates(
    of prompts: [Tokenizer.Encoding], observer: ((StepTiming) -> Void)?
  ) throws -> Value {
    let ids = prompts.flatMap { $0.ids.map { Int32($0) } }
    let outputs = try textEncoder.run(
      ["input_ids": Value(ids: ids, shape: [prompts.count, tokenLimit])], generations: [:],
      observer: observer)
    return try outputs.require("last_hidden_state")
  }
}

extension Network {
  /// The UNet's prediction for one picture, guidance applied.
  ///
  /// - Parameter states: of the negative prompt and the prompt, or of the prompt alone.
  fileprivate func predict(
    _ latents: Latents, timestep: Float, states: Value, guidanceScale: Float, generation: Int,
    observer: ((StepTiming) -> Void)?
  ) throws -> [Float] {
    let count = states.shape[0]
    let sample = Value(
      Array(repeatElement(latents.values, count: count).joined()),
      shape: [count] + latents.shape.dropFirst())
    let outputs = try run(
      [
        "sample": sample, "timestep": Value([timestep], shape: [1]),
        "encoder_hidden_states": states,
      ], generations: ["encoder_hidden_states": generation], observer: observer)
    let values = try outputs.require("out_sample").reals
    guard count == 2 else { return values }
    let half = values.count / 2
    return elementwise(Array(values[..<half]), Array(values[half...])) { negative, positive in
      negative + guidanceScale * (positive - negative)
    }
  }
}

extension [String: Value] {
  fileprivate func require(_ name: String) throws(EngineError) -> Value {
    guard let value = self[name] else {
      throw EngineError(.unsupported, "the network has no such output", context: name)
    }
    return value
  }
}

extension Latents {
  fileprivate var value: Value { Value(values, shape: shape) }

  fileprivate func with(_ values: [Float]) -> Latents { Latents(values, shape: shape) }

  fileprivate func mapped(_ transform: (Float) -> Float) -> Latents { with(values.map(transform)) }
}

/// A result and the seconds that it took.
private func timed<Result>(_ body: () throws -> Result) rethrows -> (Result, Double) {
  let start = ContinuousClock.now
  let result = try body()
  return (result, (ContinuousClock.now - start).seconds)
}
