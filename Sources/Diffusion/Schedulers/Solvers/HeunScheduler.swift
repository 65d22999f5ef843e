import ModelFormats

extension SchedulerDescriptor {
  /// Heun, with two evaluations for each step.
  public static let heun = SchedulerDescriptor(
    name: "heun", className: "HeunDiscreteScheduler", webUIName: "Heun", cppName: "heun",
    neighbors: [Neighbor(name: "heunpp2"), Neighbor(name: "restart")],
    summary: "Heun's method on the probability flow",
    source: "Karras et al., Elucidating the Design Space (2022), algorithm 1",
    order: 2, noise: .never, takesSigmas: true,
    training: HeunScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try HeunScheduler(configuration, steps: steps)
  }
}

/// Heun's method (order 2) on the probability flow: an Euler step, repeated with the mean of the
/// derivatives at its two ends. The last step is an Euler step.
///
/// Source: Karras et al. (2022), algorithm 1. Matches diffusers' `HeunDiscreteScheduler`.
struct HeunScheduler: Scheduler {
  static let training = TrainingDefaults(betaStart: 0.00085, betaEnd: 0.012)

  let timesteps: [Float]
  var initialNoiseSigma: Float { schedule.initialNoiseSigma }
  let evaluationsPerStep = 2

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let clipRange: Float?
  private var savedSample: [Float] = []
  private var savedDerivative: [Float] = []

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try SigmaSchedule(
      configuration,
      noise: try NoiseSchedule(configuration, Self.training), steps: steps)
    predictionType = configuration.predictionType
    clipRange = configuration.clipsSample ?? false ? configuration.clipRange : nil
    // Every sigma but the first is evaluated twice: as the end of a step and the start of the next.
    timesteps = schedule.timesteps.prefix(1) + schedule.timesteps.dropFirst().flatMap { [$0, $0] }
  }

  func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    schedule.modelInput(for: sample, at: (evaluation + 1) / 2)
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: (evaluation + 1) / 2)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let start = schedule.sigmas[evaluation / 2]
    let change = schedule.sigmas[evaluation / 2 + 1] - start
    let sigma = schedule.sigmas[(evaluation + 1) / 2]
    var original = predictionType.original(modelOutput: modelOutput, sample: sample, sigma: sigma)
    if let clipRange { original = original.map { min(max($0, -clipRange), clipRange) } }
    let derivative = elementwise(sample, original) { ($0 - $1) / sigma }
    if evaluation % 2 == 0 {
      savedSample = sample
      savedDerivative = derivative
      return elementwise(sample, derivative) { $0 + $1 * change }
    }
    return elementwise(savedSample, savedDerivative, derivative) { $0 + ($1 + $2) / 2 * change }
  }
}
