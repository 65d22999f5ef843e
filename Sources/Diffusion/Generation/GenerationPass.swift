import Engine
import ModelFormats
import ModelGraph

/// One pass from noise to images that differ only in seed and noise, a step at a time: the UNet is
/// evaluated for all of them together at each timestep. They are the same as generated one by one.
///
/// As diffusers' `StableDiffusionPipeline` does it: noise from the seed, one evaluation of the UNet on
/// negative prompt and prompt together for each of the scheduler's timesteps, guidance, the
/// scheduler's step; then the VAE's decoder.
struct GenerationPass {
  /// What the next step does.
  private enum Phase {
    case begin, encode
    case evaluate(Int)
    /// Says that an image is about to be decoded, then decodes it.
    case announce(Int)
    case decode(Int)
  }

  private let model: DiffusionModel
  private let request: GenerationRequest
  private let number: Int
  /// Called after each layer with its network and what it took.
  private let observer: ((String, StepTiming) -> Void)?

  private var pictures: [PictureInProgress]
  private var conditioning: Conditioning?
  private var denoiser: Denoiser?
  private var phase = Phase.begin
  /// Steps that are computed and not yet handed over.
  private var ready: ArraySlice<GenerationStep> = []

  /// When the pass began, and when its last decoding did.
  private let start = ContinuousClock.now
  private var decodingStart = ContinuousClock.now
  private var textSeconds = 0.0
  private var drawingSeconds = 0.0

  /// Prepares the noise, or encodes the images to start from.
  ///
  /// - Parameters:
  ///   - requests: at least one, all alike but for seed and noise.
  ///   - number: 1, or 2 for the second pass of an enlargement.
  /// - Throws: ``GenerationError``, also where the scheduler cannot take the steps; ``FormatError``
  ///   where it cannot be had with the model's configuration; ``EngineError``.
  init(
    _ model: DiffusionModel, _ requests: [GenerationRequest], number: Int,
    observer: ((String, StepTiming) -> Void)?
  ) throws {
    self.model = model
    request = requests[0]
    self.number = number
    self.observer = observer
    pictures = try requests.map { try PictureInProgress($0, model) }
  }

  private var evaluations: Range<Int> { pictures[0].evaluations }

  /// The next step; nil after the last.
  ///
  /// What was done for all images together counts in the timings of each as its share.
  ///
  /// - Throws: ``GenerationError``, ``EngineError``. After an error there are no more steps.
  mutating func next() throws -> GenerationStep? {
    while ready.isEmpty {
      guard try advance() else { return nil }
    }
    return ready.removeFirst()
  }

  /// Computes what the phase asks for; false after the end.
  private mutating func advance() throws -> Bool {
    switch phase {
    case .begin:
      for index in pictures.indices { add(index, .encoding, 0) }
      phase = .encode
    case .encode:
      try encode()
      for index in pictures.indices { add(index, .denoising, 0) }
      phase = .evaluate(evaluations.lowerBound)
    case .evaluate(let evaluation) where evaluation < evaluations.upperBound:
      try evaluate(evaluation)
      phase = .evaluate(evaluation + 1)
    case .evaluate:
      denoiser = nil
      model.release(model.unet)
      drawingSeconds = (ContinuousClock.now - start).seconds
      phase = .announce(0)
    case .announce(let index):
      guard index < pictures.count else { return false }
      decodingStart = .now
      add(index, .decoding, evaluations.count)
      phase = .decode(index)
    case .decode(let index):
      try decode(index)
      phase = .announce(index + 1)
    }
    return true
  }

  private mutating func add(
    _ index: Int, _ stage: GenerationStep.Stage, _ done: Int, _ prediction: Prediction? = nil,
    result: Generation? = nil
  ) {
    ready.append(
      GenerationStep(
        stage: stage, imageIndex: index, pass: number, evaluation: done,
        evaluationCount: evaluations.count, latents: pictures[index].latents,
        prediction: prediction, result: result))
  }

  private func named(_ network: GraphName) -> ((StepTiming) -> Void)? {
    observer.map { observer in { observer(network.rawValue, $0) } }
  }

  private mutating func encode() throws {
    let (conditioning, seconds) = try timed {
      try model.conditioning(
        for: request,
        secondPassSteps: request.firstPassSteps.map { _ in pictures[0].stepsTaken },
        observer: named(.textEncoder))
    }
    model.release(model.textEncoder)
    textSeconds = seconds
    denoiser = try Denoiser(
      model, request, conditioning, conditions: pictures.compactMap(\.point.condition),
      evaluations: evaluations.count, observer: observer)
    self.conditioning = conditioning
  }

  private mutating func evaluate(_ evaluation: Int) throws {
    let done = evaluation - evaluations.lowerBound
    let perStep = pictures[0].scheduler.evaluationsPerStep
    // Prompts that change from step to step.
    if done % perStep == 0, let next = conditioning?.change(at: done / perStep + 1) {
      denoiser?.change(to: next)
    }
    let timestep = pictures[0].scheduler.timesteps[evaluation]
    let progress = Double(done) / Double(evaluations.count)
    let watch = SchedulerWatch(observer, pictures[0].descriptor, evaluation: done + 1)
    let inputs = pictures.indices.map { index in
      watch.timed("input") { pictures[index].input(at: evaluation) }
    }
    let (outputs, seconds) = try timed {
      try denoiser?.predict(inputs, timestep: timestep, progress: progress) ?? []
    }
    for (index, output) in outputs.enumerated() {
      let prediction = try watch.timed("step") {
        try pictures[index].step(
          output, at: evaluation, seconds: seconds / Double(pictures.count))
      }
      add(index, .denoising, done + 1, prediction)
    }
  }

  private mutating func decode(_ index: Int) throws {
    guard let conditioning else { return }
    let picture = pictures[index]
    let (decoded, seconds) = try timed {
      try model.decode(picture.latents, observer: named(.vaeDecoder))
    }
    let safety = try model.additions.safetyChecker?.check(
      decoded, observer: named(.safetyChecker))
    var timings = picture.timings
    timings.textEncoder = textSeconds / Double(pictures.count)
    timings.vae = seconds
    timings.total =
      drawingSeconds / Double(pictures.count) + (ContinuousClock.now - decodingStart).seconds
    add(
      index, .finished, evaluations.count,
      result: Generation(
        image: safety?.isFlagged == true ? decoded.blackened : decoded, latents: picture.latents,
        noise: picture.point.noise, prompt: conditioning.prompt,
        negativePrompt: conditioning.negativePrompt, conditioning: conditioning,
        scheduler: picture.descriptor, safety: safety, timings: timings))
  }
}

/// Tells an observer what the scheduler's arithmetic takes, as layers of a network of its own.
private struct SchedulerWatch {
  private let observer: ((String, StepTiming) -> Void)?
  private let descriptor: SchedulerDescriptor
  private let evaluation: Int

  init(
    _ observer: ((String, StepTiming) -> Void)?, _ descriptor: SchedulerDescriptor, evaluation: Int
  ) {
    self.observer = observer
    self.descriptor = descriptor
    self.evaluation = evaluation
  }

  func timed<Result>(_ work: String, _ body: () throws -> Result) rethrows -> Result {
    guard let observer else { return try body() }
    let (result, seconds) = try Diffusion.timed(body)
    observer(
      "scheduler",
      StepTiming(
        name: "\(work) \(evaluation)", kind: "scheduler", implementation: descriptor.name,
        seconds: seconds, macs: 0, bytes: 0))
    return result
  }
}

extension DiffusionModel {
  /// Frees a network's memory if the model was loaded to do so.
  fileprivate func release(_ network: any Network) {
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

  package func mapped(_ transform: (Float) -> Float) -> Latents { with(values.map(transform)) }
}
