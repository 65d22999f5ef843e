import ModelFormats

extension SchedulerDescriptor {
  /// For latent consistency models, in 4 to 8 steps.
  public static let lcm = SchedulerDescriptor(
    name: "lcm", className: "LCMScheduler", webUIName: "LCM", cppName: "lcm",
    summary: "Latent consistency sampling, for distilled models",
    source: "Luo et al., Latent Consistency Models (2023), algorithm 3",
    order: 1, noise: .always, takesSigmas: false, takesSpacing: false, isDistilled: true,
    training: LCMScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try LCMScheduler(configuration, steps: steps)
  }
}

/// Latent consistency models: each evaluation predicts the clean latents, to which noise of the
/// next level is added.
///
/// Source: Luo et al., "Latent Consistency Models" (2023), algorithm 3. Matches diffusers'
/// `LCMScheduler`.
struct LCMScheduler: Scheduler {
  static let training = TrainingDefaults(
    betaStart: 0.00085, betaEnd: 0.012, betaSchedule: .scaledLinear, setsAlphaToOne: true,
    rescaling: .exact)

  let timesteps: [Float]
  let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let clipRange: Float?
  private let timestepScaling: Float

  /// - Throws: ``FormatError`` `unsupported` for more steps than the distillation had.
  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try NoiseSchedule(configuration, Self.training)
    predictionType = configuration.predictionType
    clipRange = configuration.clipsSample ?? false ? configuration.clipRange : nil
    timestepScaling = configuration.timestepScaling
    timesteps = try Timesteps.distilled(configuration, steps: steps, scheduler: "LCM")
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: timesteps[evaluation])
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let alpha = schedule.cumulativeAlphas[Int(timesteps[evaluation])]
    var original = predictionType.predictions(
      modelOutput: modelOutput, sample: sample, cumulativeAlpha: alpha
    ).original
    if let clipRange { original = original.map { min(max($0, -clipRange), clipRange) } }

    // The boundary condition of consistency functions, with a data deviation of 0.5.
    let scaled = timesteps[evaluation] * timestepScaling
    let skip = 0.25 / (scaled * scaled + 0.25)
    let out = scaled / (scaled * scaled + 0.25).squareRoot()
    let denoised = elementwise(original, sample) { out * $0 + skip * $1 }
    guard evaluation + 1 < timesteps.count else { return denoised }
    let next = schedule.cumulativeAlphas[Int(timesteps[evaluation + 1])]
    let (signal, spread) = (next.squareRoot(), (1 - next).squareRoot())
    return elementwise(denoised, random.normal(count: sample.count)) { signal * $0 + spread * $1 }
  }
}
