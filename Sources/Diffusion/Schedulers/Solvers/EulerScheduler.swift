import ModelFormats

extension SchedulerDescriptor {
  /// Euler.
  public static let euler = SchedulerDescriptor(
    name: "euler", className: "EulerDiscreteScheduler", webUIName: "Euler", cppName: "euler",
    neighbors: [Neighbor(name: "euler_cfg_pp")],
    summary: "Euler's method on the probability flow",
    source:
      "Karras et al., Elucidating the Design Space (2022), algorithm 1 without its correction",
    order: 1, noise: .never, takesSigmas: true,
    training: EulerScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try EulerScheduler(configuration, steps: steps)
  }

  /// Euler, which adds noise at each step.
  public static let eulerAncestral = SchedulerDescriptor(
    name: "euler-a", className: "EulerAncestralDiscreteScheduler", webUIName: "Euler a",
    cppName: "euler_a", aliases: ["euler_ancestral"],
    neighbors: [Neighbor(name: "euler_ancestral_cfg_pp"), Neighbor(name: "euler_a_cfg_pp")],
    summary: "Euler's method with noise added back after each step",
    source: "euler with the ancestral steps of Song et al., Score-Based Generative Modeling (2021)",
    order: 1, noise: .always, takesSigmas: true, supportsSamplePrediction: false,
    training: EulerScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try EulerScheduler(configuration, steps: steps, isAncestral: true)
  }
}

/// Euler's method on the probability flow. The ancestral form adds noise back after each step.
///
/// Source: Karras et al. (2022), algorithm 1 for the flow; ancestral steps as in Song et al.,
/// "Score-Based Generative Modeling" (2021), appendix F. Matches diffusers'
/// `EulerDiscreteScheduler` and `EulerAncestralDiscreteScheduler`.
struct EulerScheduler: Scheduler {
  static let training = TrainingDefaults(rescaling: .bounded)

  var timesteps: [Float] { schedule.timesteps }
  var initialNoiseSigma: Float { schedule.initialNoiseSigma }

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let isAncestral: Bool

  init(
    _ configuration: SchedulerConfiguration, steps: Int, isAncestral: Bool = false
  ) throws(FormatError) {
    // diffusers' ancestral class supports neither.
    schedule = try SigmaSchedule(
      configuration, noise: try NoiseSchedule(configuration, Self.training), steps: steps,
      spaces: !isAncestral, ends: !isAncestral)
    predictionType = configuration.predictionType
    self.isAncestral = isAncestral
  }

  func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    schedule.modelInput(for: sample, at: evaluation)
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: evaluation)
  }

  mutating func step(
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
