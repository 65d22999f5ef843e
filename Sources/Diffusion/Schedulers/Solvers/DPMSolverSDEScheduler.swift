import Glibc
import ModelFormats

extension SchedulerDescriptor {
  /// DPM-Solver++ SDE, with two evaluations for each step.
  public static let dpmppSDE = SchedulerDescriptor(
    name: "dpmpp-sde", className: "DPMSolverSDEScheduler", webUIName: "DPM++ SDE",
    webUISigmas: "karras", neighbors: [Neighbor(name: "dpmpp_sde_gpu", randomSource: .cuda)],
    summary: "DPM-Solver++, single step, stochastic",
    source: "Lu et al., DPM-Solver++ (2022), with the ancestral steps of Song et al., Score-Based"
      + " Generative Modeling (2021)",
    order: 2, noise: .always, takesSigmas: true, supportsSamplePrediction: false,
    training: DPMSolverSDEScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try DPMSolverSDEScheduler(configuration, steps: steps)
  }
}

/// DPM-Solver++ (stochastic), single step, order 2: an ancestral step to the logarithmic midpoint,
/// then one across the whole step with the prediction made there. The last step is an Euler step.
///
/// Source: Lu et al., "DPM-Solver++" (2022), with the stochastic steps of Song et al. (2021) as
/// in diffusers' `DPMSolverSDEScheduler`, which it matches for the same noise.
///
/// The noise of a step is the change of a Brownian motion, so the noise of its first half is part of
/// the noise of the whole step. diffusers uses the torchsde package for that motion; this scheduler
/// draws it from the image's RNG, one tensor per half.
struct DPMSolverSDEScheduler: Scheduler {
  static let training = TrainingDefaults(betaStart: 0.00085, betaEnd: 0.012)

  let timesteps: [Float]
  var initialNoiseSigma: Float { schedule.initialNoiseSigma }
  let evaluationsPerStep = 2

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private var savedSample: [Float] = []
  private var savedNoise: [Float] = []

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    let noise = try NoiseSchedule(configuration, Self.training)
    schedule = try SigmaSchedule(configuration, noise: noise, steps: steps)
    predictionType = configuration.predictionType
    let mid = zip(schedule.sigmas, schedule.sigmas.dropFirst()).map { sigma, next in
      Float(noise.timestep(of: (Double(sigma) * Double(next)).squareRoot()))
    }
    timesteps =
      schedule.timesteps.prefix(1)
      + zip(mid, schedule.timesteps.dropFirst()).flatMap { [$0, $1] }
  }

  /// The negative logarithms of the sigmas at the start, middle and end of a step.
  private func times(_ step: Int) -> (start: Float, middle: Float, end: Float) {
    let start = -logf(schedule.sigmas[step])
    let end = -logf(schedule.sigmas[step + 1])
    return (start, start + (end - start) * 0.5, end)
  }

  private func level(at evaluation: Int) -> Float {
    evaluation % 2 == 0
      ? schedule.sigmas[evaluation / 2] : expf(-times(evaluation / 2).middle)
  }

  func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    SigmaSchedule.modelInput(for: sample, sigma: level(at: evaluation))
  }

  func amplitudes(at evaluation: Int) -> Amplitudes {
    Amplitudes(signal: 1, noise: level(at: evaluation))
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: (evaluation + 1) / 2)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let step = evaluation / 2
    let isFirst = evaluation % 2 == 0
    let original = predictionType.original(
      modelOutput: modelOutput, sample: sample, sigma: level(at: evaluation))
    if schedule.sigmas[step + 1] == 0 {
      let sigma = schedule.sigmas[step]
      return elementwise(sample, original) { $0 + ($0 - $1) / sigma * (0 - sigma) }
    }
    let (start, middle, end) = times(step)
    let target = isFirst ? middle : end
    let (from, to) = (expf(-start), expf(-target))
    let up = min(to, (to * to * (from * from - to * to) / (from * from)).squareRoot())
    let down = (to * to - up * up).squareRoot()
    let downTime = -logf(down)
    let sampleFactor = expf(-downTime) / expf(-start)
    let originalFactor = expm1f(start - downTime)
    var noise = random.normal(count: sample.count)
    if isFirst {
      savedSample = sample
      savedNoise = noise
    } else {
      // The sum of both halves' changes, scaled to variance 1.
      let mid = expf(-middle)
      let firstShare = ((from - mid) / (from - to)).squareRoot()
      let secondShare = ((mid - to) / (from - to)).squareRoot()
      noise = elementwise(savedNoise, noise) { firstShare * $0 + secondShare * $1 }
    }
    let mean = elementwise(savedSample, original) { sampleFactor * $0 - originalFactor * $1 }
    return elementwise(mean, noise) { $0 + $1 * up }
  }
}
