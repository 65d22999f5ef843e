import ModelFormats

extension SchedulerDescriptor {
  /// DDPM, which adds noise at each step.
  public static let ddpm = SchedulerDescriptor(
    name: "ddpm", className: "DDPMScheduler", webUIName: "DDPM",
    summary: "Denoising diffusion probabilistic model: samples the posterior at each step",
    source: "Ho, Jain, Abbeel, Denoising Diffusion Probabilistic Models (2020), formulas 6, 7, 15",
    order: 1, noise: .always, takesSigmas: false,
    training: DDPMScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try DDPMScheduler(configuration, steps: steps)
  }
}

/// Denoising diffusion probabilistic models: each step samples the less noisy latents from their
/// posterior, given the noisy latents and the predicted clean ones.
///
/// Source: Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020), formulas 6, 7
/// and 15. Matches diffusers' `DDPMScheduler`.
struct DDPMScheduler: Scheduler {
  static let training = TrainingDefaults(rescaling: .exact)

  let timesteps: [Float]
  let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let varianceType: SchedulerConfiguration.Variance
  private let clipRange: Float?

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try NoiseSchedule(configuration, Self.training)
    predictionType = configuration.predictionType
    varianceType = configuration.variance
    clipRange = configuration.clipsSample ?? true ? configuration.clipRange : nil
    timesteps = try Timesteps.whole(
      configuration, steps: steps, spacing: configuration.timestepSpacing ?? .leading
    ).map { Float($0) }
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: timesteps[evaluation])
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let timestep = Int(timesteps[evaluation])
    let alpha = schedule.cumulativeAlphas[timestep]
    let previousAlpha =
      evaluation + 1 < timesteps.count
      ? schedule.cumulativeAlphas[Int(timesteps[evaluation + 1])] : 1
    let stepAlpha = alpha / previousAlpha
    let stepBeta = 1 - stepAlpha
    var original = predictionType.predictions(
      modelOutput: modelOutput, sample: sample, cumulativeAlpha: alpha
    ).original
    if let clipRange { original = original.map { min(max($0, -clipRange), clipRange) } }

    let originalFactor = previousAlpha.squareRoot() * stepBeta / (1 - alpha)
    let sampleFactor = stepAlpha.squareRoot() * (1 - previousAlpha) / (1 - alpha)
    let mean = elementwise(original, sample) { originalFactor * $0 + sampleFactor * $1 }
    guard timestep > 0 else { return mean }
    let small = max((1 - previousAlpha) / (1 - alpha) * stepBeta, 1e-20)
    let deviation =
      switch varianceType {
      case .fixedSmall, .fixedSmallLog: small.squareRoot()
      case .fixedLarge: stepBeta.squareRoot()
      }
    return elementwise(mean, random.normal(count: sample.count)) { $0 + deviation * $1 }
  }
}
