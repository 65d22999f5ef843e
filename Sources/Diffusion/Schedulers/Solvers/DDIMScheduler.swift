import ModelFormats

extension SchedulerDescriptor {
  /// DDIM.
  public static let ddim = SchedulerDescriptor(
    name: "ddim", className: "DDIMScheduler", webUIName: "DDIM", cppName: "ddim_trailing",
    neighbors: [
      Neighbor(name: "ddim_trailing", spacing: .trailing), Neighbor(name: "ddim_cfg_pp"),
    ],
    summary: "Denoising diffusion implicit model: deterministic unless eta is above 0",
    source: "Song, Meng, Ermon, Denoising Diffusion Implicit Models (2021), formulas 12, 16",
    order: 1, noise: .withEta, takesSigmas: false,
    eta: Eta(defaultValue: 0, meaning: "the fraction of ddpm's noise that each step adds back"),
    training: DDIMScheduler.training
  ) { configuration, steps, eta throws(FormatError) in
    try DDIMScheduler(configuration, steps: steps, eta: eta)
  }
}

/// Denoising diffusion implicit models: steps from the predicted clean latents to the next noise
/// level; deterministic if eta is 0.
///
/// Source: Song, Meng and Ermon, "Denoising Diffusion Implicit Models" (2021), formulas 12 and
/// 16. Matches diffusers' `DDIMScheduler`.
struct DDIMScheduler: Scheduler {
  static let training = TrainingDefaults(setsAlphaToOne: true, rescaling: .exact)

  let timesteps: [Float]
  let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let stride: Int
  private let clipRange: Float?
  private let eta: Float

  /// - Parameter eta: the fraction of DDPM's noise that each step adds back.
  init(
    _ configuration: SchedulerConfiguration, steps: Int, eta: Float = 0
  ) throws(FormatError) {
    schedule = try NoiseSchedule(configuration, Self.training)
    predictionType = configuration.predictionType
    stride = configuration.trainingTimesteps / steps
    clipRange = configuration.clipsSample ?? true ? configuration.clipRange : nil
    self.eta = eta
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
    let alpha = schedule.cumulativeAlpha(at: timestep)
    let previousAlpha = schedule.cumulativeAlpha(at: timestep - stride)
    var (original, noise) = predictionType.predictions(
      modelOutput: modelOutput, sample: sample, cumulativeAlpha: alpha)
    if let clipRange { original = original.map { min(max($0, -clipRange), clipRange) } }

    let variance = (1 - previousAlpha) / (1 - alpha) * (1 - alpha / previousAlpha)
    let deviation = eta * variance.squareRoot()
    let direction = (1 - previousAlpha - deviation * deviation).squareRoot()
    let signal = previousAlpha.squareRoot()
    let result = elementwise(original, noise) { signal * $0 + direction * $1 }
    guard eta > 0 else { return result }
    noise = random.normal(count: sample.count)
    return elementwise(result, noise) { $0 + deviation * $1 }
  }
}
