import ModelFormats

/// A picture between its noise and its finished latents: what is its own where several are drawn
/// together.
struct PictureInProgress {
  let descriptor: SchedulerDescriptor
  let point: StartingPoint
  /// The steps that are run: a fraction of the request's if there is an init image.
  let stepsTaken: Int
  private let configuration: SchedulerConfiguration
  private(set) var scheduler: any Scheduler
  private var random: any RandomSource
  private(set) var latents: Latents
  private(set) var timings = GenerationTimings()

  /// - Throws: as ``GenerationPass/init(_:_:number:observer:)``.
  init(_ request: GenerationRequest, _ model: DiffusionModel) throws {
    (descriptor, configuration, scheduler) = try model.limits.sampler(for: request)
    random = try request.randomSource.source(seed: request.seed)
    point = try model.startingPoint(for: request, scheduler, &random)
    latents = point.latents
    let strength = request.initial?.strength ?? 1
    stepsTaken =
      request.steps - scheduler.skippedSteps(strength: strength, steps: request.steps)
    timings.load = model.loadSeconds
  }

  /// The scheduler's evaluations that are made.
  var evaluations: Range<Int> { point.firstEvaluation..<scheduler.timesteps.count }

  /// The latents as the model takes them.
  mutating func input(at evaluation: Int) -> Latents {
    let (input, seconds) = timed {
      latents.with(scheduler.modelInput(for: latents.values, at: evaluation))
    }
    timings.scheduler += seconds
    return input
  }

  /// Goes one evaluation on.
  ///
  /// - Parameters:
  ///   - output: what the model made of the input.
  ///   - seconds: how long that took.
  /// - Throws: ``GenerationError`` `notFinite`.
  mutating func step(
    _ output: [Float], at evaluation: Int, seconds: Double
  ) throws(GenerationError) -> Prediction {
    let (values, stepSeconds) = timed {
      let stepped = scheduler.step(
        modelOutput: output, at: evaluation, sample: latents.values, random: &random)
      return point.keeping?.applied(to: stepped, after: evaluation, scheduler) ?? stepped
    }
    let prediction = Prediction(
      scheduler, at: evaluation, latents: latents, output: output,
      type: configuration.predictionType)
    latents = latents.with(values)
    timings.unet.append(seconds)
    timings.scheduler += stepSeconds
    guard values.allSatisfy(\.isFinite) else {
      throw GenerationError(
        .notFinite,
        "the latents contain infinity or NaN after evaluation"
          + " \(evaluation - evaluations.lowerBound + 1) of \(evaluations.count)",
        hint: "try another scheduler, more steps or less guidance, or check the model's weights")
    }
    return prediction
  }
}

/// A result and the seconds that it took.
func timed<Result>(_ body: () throws -> Result) rethrows -> (Result, Double) {
  let start = ContinuousClock.now
  let result = try body()
  return (result, (ContinuousClock.now - start).seconds)
}
