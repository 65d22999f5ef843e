import Glibc
import ModelFormats

extension SchedulerDescriptor {
  /// DPM-Solver++, multistep of order 3, which adds noise at each step.
  public static let dpmppThirdOrderSDE = SchedulerDescriptor(
    name: "dpmpp-3m-sde", webUIName: "DPM++ 3M SDE", webUISigmas: "exponential",
    neighbors: [Neighbor(name: "dpmpp_3m_sde_gpu", randomSource: .cuda)],
    summary: "DPM-Solver++, multistep of order 3, stochastic",
    source: "Lu et al., DPM-Solver++ (2022), appendix, its stochastic form with two derivatives",
    order: 3, noise: .always, takesSigmas: true,
    training: DPMSolverThirdOrderScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try DPMSolverThirdOrderScheduler(configuration, steps: steps)
  }
}

/// DPM-Solver++ (stochastic), multistep, order 3, on the predicted clean latents. The first two
/// steps have orders 1 and 2; the last one, to sigma 0, is the prediction itself.
///
/// Source: Lu et al., "DPM-Solver++" (2022), appendix: the stochastic solver, whose exponential
/// integral is expanded to the second derivative. Matches `sample_dpmpp_3m_sde` of k-diffusion
/// with its default eta of 1, for the same noise; diffusers has no such class.
///
/// k-diffusion draws the noise from a Brownian motion (the torchsde package); here it is one tensor
/// per step from the image's RNG. Timesteps and sigmas are those of ``DPMSolverScheduler``: a step that
/// starts at the first training timestep would follow one far longer in log sigma, across which the
/// derivatives cannot be extrapolated.
struct DPMSolverThirdOrderScheduler: Scheduler {
  static let training = TrainingDefaults(rescaling: .bounded)

  var timesteps: [Float] { schedule.timesteps }
  var initialNoiseSigma: Float { schedule.sigmas[0] }

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  /// Up to three predictions of clean latents, newest first.
  private var originals: [[Float]] = []

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    var ending = configuration
    ending.finalSigma = .zero
    schedule = try SigmaSchedule(
      solver: ending, noise: try NoiseSchedule(configuration, Self.training), steps: steps,
      endsWithLast: false)
    predictionType = configuration.predictionType
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
    originals = [original] + originals.prefix(2)
    guard next > 0 else { return original }
    let length = logarithm(evaluation) - logarithm(evaluation + 1)
    let keep = exp(-2 * length)
    let spread = Double(next) * (-expm1(-2 * length)).squareRoot()
    // In double precision: weights of opposite sign are larger than their sum.
    var sums = sample.map { keep * Double($0) }
    for (weight, original) in zip(weights(length, at: evaluation), originals) {
      for index in sums.indices { sums[index] += weight * Double(original[index]) }
    }
    return zip(sums, random.normal(count: sample.count)).map { Float($0 + spread * Double($1)) }
  }

  private func logarithm(_ evaluation: Int) -> Double { log(Double(schedule.sigmas[evaluation])) }

  /// The weights of the predictions so far, newest first.
  ///
  /// The derivatives are those of the polynomial through the predictions, with log sigma as the
  /// variable.
  ///
  /// - Parameter length: of the step, in log sigma.
  private func weights(_ length: Double, at evaluation: Int) -> [Double] {
    // With eta 1, the solver goes twice as far; noise takes it back.
    let double = 2 * length
    let whole = -expm1(-double)
    guard originals.count > 1 else { return [whole] }
    let slope = 1 - whole / double
    let ratio = (logarithm(evaluation - 1) - logarithm(evaluation)) / length
    guard originals.count > 2 else { return [whole + slope / ratio, -slope / ratio] }
    let curve = slope / double - 0.5
    let earlierRatio = (logarithm(evaluation - 2) - logarithm(evaluation - 1)) / length
    // What the two first differences are multiplied by.
    let bend = (slope * ratio - curve) / (ratio + earlierRatio)
    let (later, earlier) = ((slope + bend) / ratio, -bend / earlierRatio)
    return [whole + later, earlier - later, -earlier]
  }
}
