import Glibc
import ModelFormats

extension SchedulerDescriptor {
  // diffusers, too, replaces "deis" by "dpmsolver++".
  /// DPM-Solver++, multistep: good in 20 steps.
  public static let dpmppMultistep = SchedulerDescriptor(
    name: "dpmpp-2m", className: "DPMSolverMultistepScheduler",
    algorithmTypes: ["dpmsolver++", "deis"], webUIName: "DPM++ 2M", cppName: "dpm++2m",
    webUISigmas: "karras",
    neighbors: [
      Neighbor(name: "dpmpp"), Neighbor(name: "dpmsolver"), Neighbor(name: "dpmsolver++"),
      Neighbor(name: "dpm++2mv2"), Neighbor(name: "dpm_fast"), Neighbor(name: "dpm_adaptive"),
    ],
    summary: "DPM-Solver++, multistep",
    source: "Lu et al., DPM-Solver++ (2022), algorithm 2",
    order: 2, noise: .never, takesSigmas: true,
    training: DPMSolverScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try DPMSolverScheduler(configuration, steps: steps)
  }

  /// DPM-Solver++, multistep, which adds noise at each step.
  public static let dpmppMultistepSDE = SchedulerDescriptor(
    name: "dpmpp-2m-sde", className: "DPMSolverMultistepScheduler",
    algorithmTypes: ["sde-dpmsolver++"], webUIName: "DPM++ 2M SDE", cppName: "dpm++2m_sde",
    webUISigmas: "exponential",
    neighbors: [
      Neighbor(name: "dpmpp_2m_sde_gpu", randomSource: .cuda),
      Neighbor(name: "dpmpp_2m_sde_heun"),
    ],
    summary: "DPM-Solver++, multistep, stochastic",
    source: "dpmpp-2m, its stochastic form",
    order: 2, noise: .always, takesSigmas: true,
    training: DPMSolverScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try DPMSolverScheduler(configuration, steps: steps, isStochastic: true)
  }
}

/// DPM-Solver++, multistep, order 1 to 3, on the predicted clean latents; optionally stochastic,
/// with noise added in each step.
///
/// Source: Lu et al., "DPM-Solver++" (2022), algorithm 2 and appendix. Matches diffusers'
/// `DPMSolverMultistepScheduler`; with its defaults it is known as DPM++ 2M, and stochastic
/// (`sde-dpmsolver++`) as DPM++ 2M SDE.
struct DPMSolverScheduler: Scheduler {
  static let training = TrainingDefaults(rescaling: .bounded)

  var timesteps: [Float] { schedule.timesteps }
  let initialNoiseSigma: Float = 1

  private let schedule: SigmaSchedule
  private let configuration: SchedulerConfiguration
  private let isStochastic: Bool
  /// Predicted clean latents, newest first.
  private var originals: [[Float]] = []

  init(
    _ configuration: SchedulerConfiguration, steps: Int, isStochastic: Bool = false
  ) throws(FormatError) {
    schedule = try SigmaSchedule(
      solver: configuration, noise: try NoiseSchedule(configuration, Self.training),
      steps: steps, endsWithLast: false)
    self.configuration = configuration
    self.isStochastic = isStochastic
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.preservedNoised(clean, with: noise, at: evaluation)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let level = SolverLevel(schedule.sigmas[evaluation])
    let original = level.original(modelOutput, sample: sample, configuration.predictionType)
    originals = [original] + originals.prefix(configuration.solverOrder - 1)

    let next = SolverLevel(schedule.sigmas[evaluation + 1])
    let step = next.lambda - level.lambda
    let weights = isStochastic ? Weights(stochastic: step, next) : Weights(step, next)
    let sampleFactor =
      isStochastic ? next.sigma / level.sigma * expf(-step) : next.sigma / level.sigma
    var result = elementwise(sample, original) { sampleFactor * $0 - weights.original * $1 }
    let order = self.order(at: evaluation)
    if order > 1 { addDerivatives(to: &result, weights, order: order, at: evaluation) }
    guard isStochastic else { return result }
    let spread = next.sigma * (1 - expf(-2 * step)).squareRoot()
    return elementwise(result, random.normal(count: sample.count)) { $0 + spread * $1 }
  }

  /// The weights of the prediction and its derivatives in a step. First derivatives use the weight
  /// of the midpoint method or of Heun's.
  private struct Weights {
    let original: Float
    let midpoint: Float
    let slope: Float
    let curve: Float

    init(_ step: Float, _ next: SolverLevel) {
      // exp(-step) - 1; the reference computes the exponential first.
      let decay = expf(-step) - 1
      original = next.alpha * decay
      midpoint = -0.5 * (next.alpha * decay)
      slope = next.alpha * (decay / step + 1)
      curve = -(next.alpha * ((decay + step) / (step * step) - 0.5))
    }

    init(stochastic step: Float, _ next: SolverLevel) {
      let double = -2 * step
      let gain = 1 - expf(double)
      original = -(next.alpha * gain)
      midpoint = 0.5 * (next.alpha * gain)
      slope = next.alpha * (gain / double + 1)
      curve = next.alpha * ((gain + double) / (double * double) - 0.5)
    }
  }

  /// Adds the derivatives, estimated from earlier predictions.
  private func addDerivatives(
    to result: inout [Float], _ weights: Weights, order: Int, at evaluation: Int
  ) {
    let lambdas = (-2...1).map { offset in
      evaluation + offset < 0 ? 0 : SolverLevel(schedule.sigmas[evaluation + offset]).lambda
    }
    let step = lambdas[3] - lambdas[2]
    let ratio = (lambdas[2] - lambdas[1]) / step
    let first = elementwise(originals[0], originals[1]) { 1 / ratio * ($0 - $1) }
    if order == 2 {
      let factor = configuration.solver == .heun ? weights.slope : weights.midpoint
      result = elementwise(result, first) { $0 + factor * $1 }
      return
    }
    let earlierRatio = (lambdas[1] - lambdas[0]) / step
    let earlier = elementwise(originals[1], originals[2]) { 1 / earlierRatio * ($0 - $1) }
    let weight = ratio / (ratio + earlierRatio)
    let scale = 1 / (ratio + earlierRatio)
    let slope = elementwise(first, earlier) { $0 + weight * ($0 - $1) }
    let curve = elementwise(first, earlier) { scale * ($0 - $1) }
    result = elementwise(result, slope, curve) {
      $0 + weights.slope * $1 + weights.curve * $2
    }
  }

  /// The order of a step: limited by the outputs so far, and lowered in the last steps if the noise
  /// vanishes or there are few steps.
  private func order(at evaluation: Int) -> Int {
    let count = timesteps.count
    let isShort = (configuration.lowersFinalOrder ?? true) && count < 15
    var order = min(configuration.solverOrder, originals.count)
    if evaluation == count - 1,
      configuration.endsWithEuler || isShort || configuration.finalSigma == .zero
    {
      order = 1
    }
    if evaluation == count - 2, isShort { order = min(order, 2) }
    return order
  }
}
