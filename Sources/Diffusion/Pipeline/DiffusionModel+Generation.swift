import Engine
import ModelFormats

extension DiffusionModel {
  /// Called as a picture comes along; returns whether to go on.
  public typealias ProgressHandler = (GenerationProgress) -> Bool
  /// The same for several pictures, with the index of the picture.
  public typealias BatchProgressHandler = (Int, GenerationProgress) -> Bool

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
    try generate(
      [request], progress: progress.map { progress in { progress($1) } }, observer: observer)[0]
  }

  /// Draws pictures that differ in seeds and noise alone, with one evaluation of the UNet for all of
  /// them at each timestep. They are the same as drawn one by one.
  ///
  /// - Parameter progress: called for each picture in turn, as for one alone.
  /// - Returns: as many as there are requests. What was done for all together counts in the timings
  ///   of each as its share.
  /// - Throws: as for one; ``GenerationError`` `request` too where the requests differ in more.
  public func generate(
    _ requests: [GenerationRequest], progress: BatchProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> [Generation] {
    var generations: [Generation] = []
    try generateEach(requests, progress: progress, observer: observer) { generations.append($1) }
    return generations
  }

  /// The same, each picture handed over as soon as it is decoded, so that one that cannot be does
  /// not take those before it along.
  ///
  /// - Parameter finished: called with the index of each picture in turn; what it throws ends the
  ///   drawing.
  /// - Throws: as `generate(_:progress:observer:)`.
  public func generateEach(
    _ requests: [GenerationRequest], progress: BatchProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil,
    finished: (Int, Generation) throws -> Void
  ) throws {
    guard let request = requests.first else { return }
    guard requests.allSatisfy({ $0.isLike(request) }) else {
      throw GenerationError(
        .request, "pictures that are drawn at once differ in more than seeds and noise",
        hint: "draw them one by one")
    }
    let start = ContinuousClock.now
    var pictures = try requests.map { try PictureInProgress($0, self) }
    let (evaluations, timesteps) = (pictures[0].evaluations, pictures[0].scheduler.timesteps)
    let evaluationsPerStep = pictures[0].scheduler.evaluationsPerStep
    func report(
      _ index: Int, _ stage: GenerationProgress.Stage, _ done: Int, _ prediction: Prediction? = nil
    ) throws {
      let progress =
        progress?(
          index,
          GenerationProgress(
            stage: stage, evaluations: done, total: evaluations.count,
            latents: pictures[index].latents, prediction: prediction)) ?? true
      guard progress else {
        throw GenerationError(
          .cancelled, "cancelled after \(done) of \(evaluations.count) evaluations")
      }
    }

    func named(_ network: String) -> ((StepTiming) -> Void)? {
      observer.map { observer in { observer(network, $0) } }
    }

    for index in pictures.indices { try report(index, .encoding, 0) }
    let (conditioning, textSeconds) = try timed {
      try self.conditioning(
        for: request,
        secondPassSteps: request.firstPassSteps.map { _ in pictures[0].stepsTaken },
        observer: named("text_encoder"))
    }

    release(textEncoder)
    for index in pictures.indices { try report(index, .denoising, 0) }
    var denoiser = try Denoiser(
      self, request, conditioning, conditions: pictures.compactMap(\.point.condition),
      evaluations: evaluations.count, observer: observer)
    for evaluation in evaluations {
      let done = evaluation - evaluations.lowerBound
      // Prompts that change from step to step.
      if done % evaluationsPerStep == 0,
        let next = conditioning.change(at: done / evaluationsPerStep + 1)
      {
        denoiser.change(to: next)
      }
      let inputs = pictures.indices.map { pictures[$0].input(at: evaluation) }
      let (outputs, seconds) = try timed {
        try denoiser.predict(
          inputs, timestep: timesteps[evaluation],
          progress: Double(done) / Double(evaluations.count))
      }
      for (index, output) in outputs.enumerated() {
        let prediction = try pictures[index].step(
          output, at: evaluation, seconds: seconds / Double(pictures.count))
        try report(index, .denoising, done + 1, prediction)
      }
    }

    release(unet)
    let drawingSeconds = (ContinuousClock.now - start).seconds
    for index in pictures.indices {
      let start = ContinuousClock.now
      let picture = pictures[index]
      try report(index, .decoding, evaluations.count)
      let (decoded, vaeSeconds) = try timed {
        try decode(picture.latents, observer: named("vae_decoder"))
      }
      let safety = try additions.safetyChecker?.check(decoded, observer: named("safety_checker"))
      let image = safety?.isFlagged == true ? decoded.blackened : decoded
      var timings = picture.timings
      timings.textEncoder = textSeconds / Double(pictures.count)
      timings.vae = vaeSeconds
      timings.total =
        drawingSeconds / Double(pictures.count) + (ContinuousClock.now - start).seconds
      try finished(
        index,
        Generation(
          image: image, latents: picture.latents, noise: picture.point.noise,
          prompt: conditioning.prompt, negativePrompt: conditioning.negativePrompt,
          scheduler: picture.descriptor, safety: safety, timings: timings))
    }
  }
}

extension DiffusionModel {
  /// Gives a network's memory back where the model was loaded to do so.
  private func release(_ network: any Network) {
    if additions.releasesNetworks { (network as? LazyNetwork)?.release() }
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
