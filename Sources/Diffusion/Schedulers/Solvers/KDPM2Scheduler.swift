import Glibc
import ModelFormats

extension SchedulerDescriptor {
  /// DPM2, with two evaluations for each step.
  public static let dpm2 = SchedulerDescriptor(
    name: "dpm2", className: "KDPM2DiscreteScheduler", webUIName: "DPM2", cppName: "dpm2",
    webUISigmas: "karras",
    summary: "DPM-Solver-2 on the probability flow",
    source: "Karras et al., Elucidating the Design Space (2022), algorithm 2, midpoint as in Lu et"
      + " al., DPM-Solver (2022)",
    order: 2, noise: .never, takesSigmas: true, supportsSamplePrediction: false,
    training: KDPM2Scheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try KDPM2Scheduler(configuration, steps: steps)
  }

  /// DPM2, which adds noise at each step.
  public static let dpm2Ancestral = SchedulerDescriptor(
    name: "dpm2-a", className: "KDPM2AncestralDiscreteScheduler", webUIName: "DPM2 a",
    webUISigmas: "karras", aliases: ["dpm_2_ancestral"],
    summary: "DPM-Solver-2 with noise added back after each step",
    source: "dpm2 with the ancestral steps of Song et al., Score-Based Generative Modeling (2021)",
    order: 2, noise: .always, takesSigmas: true, supportsSamplePrediction: false,
    training: KDPM2Scheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try KDPM2Scheduler(configuration, steps: steps, isAncestral: true)
  }
}

/// DPM-Solver-2 on the probability flow: the whole step uses the derivative at its logarithmic
/// midpoint. The ancestral form adds noise back after each step. The last step is an Euler step.
///
/// Source: Karras et al. (2022), algorithm 2, with the midpoint of Lu et al., "DPM-Solver" (2022).
/// Matches diffusers' `KDPM2DiscreteScheduler` and `KDPM2AncestralDiscreteScheduler`.
struct KDPM2Scheduler: Scheduler {
  static let training = TrainingDefaults(betaStart: 0.00085, betaEnd: 0.012)

  let timesteps: [Float]
  var initialNoiseSigma: Float { schedule.initialNoiseSigma }
  let evaluationsPerStep = 2

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let isAncestral: Bool
  /// The sigma at the midpoint of each step; 0 in the last step.
  private let midLevels: [Float]
  /// The sigma that each step reaches before noise is added.
  private let downLevels: [Float]
  /// The standard deviation of the noise that each step adds.
  private let upLevels: [Float]
  private var savedSample: [Float] = []

  init(
    _ configuration: SchedulerConfiguration, steps: Int, isAncestral: Bool = false
  ) throws(FormatError) {
    let noise = try NoiseSchedule(configuration, Self.training)
    schedule = try SigmaSchedule(configuration, noise: noise, steps: steps, roundsKarras: true)
    predictionType = configuration.predictionType
    self.isAncestral = isAncestral
    let sigmas = schedule.sigmas
    let ends = zip(sigmas, sigmas.dropFirst())
    if isAncestral {
      upLevels = ends.map { sigma, next in
        let square = next * next
        return (square * (sigma * sigma - square) / (sigma * sigma)).squareRoot()
      }
      downLevels = zip(sigmas.dropFirst(), upLevels).map { next, up in
        (next * next - up * up).squareRoot()
      }
    } else {
      upLevels = []
      downLevels = Array(sigmas.dropFirst())
    }
    var mid = zip(sigmas, downLevels).map { sigma, down in
      let (start, end) = isAncestral ? (logf(sigma), logf(down)) : (logf(down), logf(sigma))
      return expf(end - (end - start) * 0.5)
    }
    mid[mid.count - 1] = 0
    midLevels = mid
    // Each step after the first evaluation: its midpoint, then its end.
    timesteps =
      schedule.timesteps.prefix(1)
      + zip(mid, schedule.timesteps.dropFirst()).flatMap { level, timestep in
        [Float(noise.timestep(of: Double(level))), timestep]
      }
  }

  private func sigma(at evaluation: Int) -> Float {
    evaluation % 2 == 0 ? schedule.sigmas[evaluation / 2] : midLevels[evaluation / 2]
  }

  func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    SigmaSchedule.modelInput(for: sample, sigma: sigma(at: evaluation))
  }

  func amplitudes(at evaluation: Int) -> Amplitudes {
    Amplitudes(signal: 1, noise: sigma(at: evaluation))
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: (evaluation + 1) / 2)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let step = evaluation / 2
    let sigma = schedule.sigmas[step]
    let mid = midLevels[step]
    let isFirst = evaluation % 2 == 0
    let level = isFirst ? sigma : mid
    let original = predictionType.original(modelOutput: modelOutput, sample: sample, sigma: level)
    if isFirst {
      savedSample = sample
      let change = mid - sigma
      return elementwise(sample, original) { $0 + ($0 - $1) / level * change }
    }
    let change = downLevels[step] - sigma
    let derivative = elementwise(sample, original) { ($0 - $1) / level }
    let result = elementwise(savedSample, derivative) { $0 + $1 * change }
    guard isAncestral else { return result }
    let up = upLevels[step]
    return elementwise(result, random.normal(count: sample.count)) { $0 + $1 * up }
  }
}
