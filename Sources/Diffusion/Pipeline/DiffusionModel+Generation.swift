import Engine
import ModelFormats

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
  /// - Throws: ``GenerationError``, also where the scheduler cannot take the steps; ``FormatError``
  ///   where it cannot be had with the model's configuration;
  ///   ``EngineError``.
  public func generate(
    _ request: GenerationRequest, progress: ProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> Generation {
    let start = ContinuousClock.now
    var timings = GenerationTimings(load: loadSeconds)
    // Sampling.
    let (name, configuration, fresh) = try limits.sampler(for: request)
    var scheduler = fresh
    var random = try request.randomSource.source(seed: request.seed)
    let point = try startingPoint(for: request, scheduler, &random)
    var latents = point.latents
    let evaluations = point.firstEvaluation..<scheduler.timesteps.count
    func report(
      _ stage: GenerationProgress.Stage, _ done: Int, _ latents: Latents,
      _ prediction: Prediction? = nil
    ) throws {
      let progress =
        progress?(
          GenerationProgress(
            stage: stage, evaluations: done, total: evaluations.count, latents: latents,
            prediction: prediction)) ?? true
      guard progress else {
        throw GenerationError(
          .cancelled, "cancelled after \(done) of \(evaluations.count) evaluations")
      }
    }

    func named(_ network: String) -> ((StepTiming) -> Void)? {
      observer.map { observer in { observer(network, $0) } }
    }

    try report(.encoding, 0, latents)
    let (conditioning, textSeconds) = try timed {
      try self.conditioning(for: request, observer: named("text_encoder"))
    }
    timings.textEncoder = textSeconds

    try report(.denoising, 0, latents)
    var denoiser = try Denoiser(
      self, request, conditioning, condition: point.condition, evaluations: evaluations.count,
      observer: observer)
    for evaluation in evaluations {
      let done = evaluation - evaluations.lowerBound
      // Prompts that change from step to step.
      if done % scheduler.evaluationsPerStep == 0,
        let next = conditioning.change(at: done / scheduler.evaluationsPerStep + 1)
      {
        denoiser.change(to: next)
      }
      let (input, inputSeconds) = timed {
        latents.with(scheduler.modelInput(for: latents.values, at: evaluation))
      }
      let (output, unetSeconds) = try timed {
        try denoiser.predict(
          input, timestep: scheduler.timesteps[evaluation],
          progress: Double(done) / Double(evaluations.count))
      }
      let (values, stepSeconds) = timed {
        let stepped = scheduler.step(
          modelOutput: output, at: evaluation, sample: latents.values, random: &random)
        return point.keeping?.applied(to: stepped, after: evaluation, scheduler) ?? stepped
      }
      let prediction = Prediction(
        scheduler, at: evaluation, latents: latents, output: output,
        type: configuration.predictionType)
      latents = latents.with(values)
      timings.unet.append(unetSeconds)
      timings.scheduler += inputSeconds + stepSeconds
      guard values.allSatisfy(\.isFinite) else {
        throw GenerationError(
          .notFinite,
          "the latents are no longer finite after evaluation \(done + 1) of \(evaluations.count)",
          hint: "try another scheduler, more steps or less guidance, or check the model's weights")
      }
      try report(.denoising, done + 1, latents, prediction)
    }

    try report(.decoding, evaluations.count, latents)
    let (decoded, vaeSeconds) = try timed { try decode(latents, observer: named("vae_decoder")) }
    timings.vae = vaeSeconds
    let safety = try additions.safetyChecker?.check(decoded, observer: named("safety_checker"))
    let image = safety?.isFlagged == true ? decoded.blackened : decoded
    timings.total = (ContinuousClock.now - start).seconds
    return Generation(
      image: image, latents: latents, noise: point.noise, prompt: conditioning.prompt,
      negativePrompt: conditioning.negativePrompt, scheduler: name, safety: safety,
      timings: timings)
  }
}

extension [String: Value] {
  func require(_ name: String) throws(EngineError) -> Value {
    guard let value = self[name] else {
      throw EngineError(.unsupported, "the network has no such output", context: name)
    }
    return value
  }
}

extension Latents {
  var value: Value { Value(values, shape: shape) }

  func with(_ values: [Float]) -> Latents { Latents(values, shape: shape) }

  func mapped(_ transform: (Float) -> Float) -> Latents { with(values.map(transform)) }
}

/// A result and the seconds that it took.
private func timed<Result>(_ body: () throws -> Result) rethrows -> (Result, Double) {
  let start = ContinuousClock.now
  let result = try body()
  return (result, (ContinuousClock.now - start).seconds)
}
