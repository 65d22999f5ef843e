import ModelFormats

extension SchedulerDescriptor {
  /// For models and LoRAs distilled for trajectory consistency.
  public static let tcd = SchedulerDescriptor(
    name: "tcd", className: "TCDScheduler", webUIName: "TCD", cppName: "tcd",
    summary: "Trajectory consistency sampling, for distilled models",
    source: "Zheng et al., Trajectory Consistency Distillation (2024), algorithm 4",
    order: 1, noise: .withEta, takesSigmas: false, takesSpacing: false,
    eta: Eta(
      defaultValue: 0.3, meaning: "how far each step goes past the next noise level",
      defaultWarning:
        "tcd uses eta 0.3, as in its paper; diffusers pipelines pass eta 0 by default,"
        + " which gives another image"),
    isDistilled: true,
    training: TCDScheduler.training
  ) { configuration, steps, eta throws(FormatError) in
    try TCDScheduler(configuration, steps: steps, eta: eta)
  }
}

/// Trajectory consistency distillation: each evaluation predicts a point further along the
/// trajectory; added noise then raises it to the next noise level.
///
/// Source: Zheng et al., "Trajectory Consistency Distillation" (2024), algorithm 4. Matches
/// diffusers' `TCDScheduler`.
struct TCDScheduler: Scheduler {
  static let training = TrainingDefaults(
    betaStart: 0.00085, betaEnd: 0.012, betaSchedule: .scaledLinear, setsAlphaToOne: true,
    rescaling: .exact)

  let timesteps: [Float]
  let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let eta: Float

  /// - Parameter eta: how far a step goes past the next noise level, 0 (not past it, without noise) to
  ///   1; the publication's gamma.
  /// - Throws: ``FormatError`` `unsupported` for more steps than the distillation had.
  init(
    _ configuration: SchedulerConfiguration, steps: Int, eta: Float = 0.3
  ) throws(FormatError) {
    schedule = try NoiseSchedule(configuration, Self.training)
    predictionType = configuration.predictionType
    self.eta = eta
    timesteps = try Timesteps.distilled(configuration, steps: steps, scheduler: "TCD")
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: timesteps[evaluation])
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let isLast = evaluation + 1 == timesteps.count
    let next = isLast ? 0 : timesteps[evaluation + 1]
    let alpha = schedule.cumulativeAlphas[Int(timesteps[evaluation])]
    let nextAlpha = schedule.cumulativeAlphas[Int(next)]
    let target = schedule.cumulativeAlphas[Int((Float(1 - Double(eta)) * next).rounded(.down))]
    let (original, noise) = predictionType.predictions(
      modelOutput: modelOutput, sample: sample, cumulativeAlpha: alpha)
    let (signal, spread) = (target.squareRoot(), (1 - target).squareRoot())
    let result = elementwise(original, noise) { signal * $0 + spread * $1 }
    guard eta > 0, !isLast else { return result }
    let keep = (nextAlpha / target).squareRoot()
    let add = (1 - nextAlpha / target).squareRoot()
    return elementwise(result, random.normal(count: sample.count)) { keep * $0 + add * $1 }
  }
}
