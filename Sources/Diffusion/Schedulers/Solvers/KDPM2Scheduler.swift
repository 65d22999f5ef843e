import Glibc
import ModelFormats

/// DPM-Solver-2 on the probability flow: the derivative at a level midway on a logarithmic scale
/// takes the latents across the whole step; ancestral, with noise added back after each step. The
/// last step is Euler's alone.
///
/// Source: Karras et al. (2022), algorithm 2, with the midpoint of Lu et al., "DPM-Solver" (2022).
/// Matches diffusers' `KDPM2DiscreteScheduler` and `KDPM2AncestralDiscreteScheduler`.
public struct KDPM2Scheduler: Scheduler {
  public let timesteps: [Float]
  public var initialNoiseSigma: Float { schedule.initialNoiseSigma }
  public let evaluationsPerStep = 2

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private let isAncestral: Bool
  /// The level between each step's ends; 0 in the last step.
  private let midLevels: [Float]
  /// What each step goes down to before noise is added, and how much is added.
  private let downLevels: [Float]
  private let upLevels: [Float]
  private var savedSample: [Float] = []

  public init(
    _ configuration: SchedulerConfiguration, steps: Int, isAncestral: Bool = false
  ) throws(FormatError) {
    try configuration.refuseSamplePrediction("dpm2")
    let noise = try NoiseSchedule(configuration, betaStart: 0.00085, betaEnd: 0.012)
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
    // Every level but the first follows the one before it and the one between.
    timesteps =
      schedule.timesteps.prefix(1)
      + zip(mid, schedule.timesteps.dropFirst()).flatMap { level, timestep in
        [Float(noise.timestep(of: Double(level))), timestep]
      }
  }

  public func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    let sigma =
      evaluation % 2 == 0 ? schedule.sigmas[evaluation / 2] : midLevels[evaluation / 2]
    return SigmaSchedule.modelInput(for: sample, sigma: sigma)
  }

  public func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: (evaluation + 1) / 2)
  }

  public mutating func step(
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

extension SchedulerConfiguration {
  /// - Throws: ``FormatError`` `unsupported` where the model predicts the picture.
  func refuseSamplePrediction(_ scheduler: String) throws(FormatError) {
    guard predictionType != .sample else {
      throw FormatError(
        .unsupported,
        "prediction_type is sample; \(scheduler) takes epsilon or v_prediction",
        context: "scheduler_config.json", hint: "choose the ddim or the euler scheduler")
    }
  }
}
