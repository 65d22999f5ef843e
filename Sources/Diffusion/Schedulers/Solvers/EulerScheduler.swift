import ModelFormats

/// Euler's method on the probability flow; ancestral, with noise added back after each step.
///
/// Source: Karras et al. (2022), algorithm 1 for the flow; ancestral steps as in Song et al.,
/// "Score-Based Generative Modeling" (2021), appendix F. Matches diffusers'
/// `EulerDiscreteScheduler` and `EulerAncestralDiscreteScheduler`.
public struct EulerScheduler: Scheduler {
  public var timesteps: [Float] { schedule.timesteps }
  public var initialNoiseSigma: Float { schedule.initialNoiseSigma }

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let isAncestral: Bool

  public init(
    _ configuration: SchedulerConfiguration, steps: Int, isAncestral: Bool = false
  ) throws(FormatError) {
    guard !isAncestral || configuration.predictionType != .sample else {
      throw FormatError(
        .unsupported, "prediction_type is sample; euler-a takes epsilon or v_prediction",
        context: "scheduler_config.json", hint: "choose the euler scheduler")
    }
    // diffusers' ancestral class knows neither of the two.
    schedule = try SigmaSchedule(
      configuration, noise: try NoiseSchedule(configuration, rescaling: .bounded), steps: steps,
      spaces: !isAncestral, ends: !isAncestral)
    predictionType = configuration.predictionType
    self.isAncestral = isAncestral
  }

  public func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    schedule.modelInput(for: sample, at: evaluation)
  }

  public func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: evaluation)
  }

  public mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let sigma = schedule.sigmas[evaluation]
    let next = schedule.sigmas[evaluation + 1]
    let original = predictionType.original(modelOutput: modelOutput, sample: sample, sigma: sigma)
    let square = next * next
    let up =
      isAncestral
      ? (square * (sigma * sigma - square) / (sigma * sigma)).squareRoot() : 0
    let down = isAncestral ? (square - up * up).squareRoot() : next
    let change = down - sigma
    let result = elementwise(sample, original) { $0 + ($0 - $1) / sigma * change }
    guard isAncestral else { return result }
    return elementwise(result, random.normal(count: sample.count)) { $0 + $1 * up }
  }
}
