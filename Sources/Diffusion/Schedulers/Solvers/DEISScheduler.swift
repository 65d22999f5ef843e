import Glibc
import ModelFormats

extension SchedulerDescriptor {
  // diffusers, too, replaces "dpmsolver++" by "deis".
  /// DEIS.
  public static let deis = SchedulerDescriptor(
    name: "deis", className: "DEISMultistepScheduler", algorithmTypes: ["deis", "dpmsolver++"],
    webUIName: "DEIS",
    summary: "Exponential integrator on the predicted noise, multistep",
    source: "Zhang, Chen, Fast Sampling of Diffusion Models with Exponential Integrator (2023),"
      + " polynomials in log rho",
    order: 2, noise: .never, takesSigmas: true
  ) { configuration, steps, _ throws(FormatError) in
    try DEISScheduler(configuration, steps: steps)
  }
}

/// The diffusion exponential integrator sampler (DEIS), multistep, order 1 to 3: extrapolates the
/// predicted noise by a polynomial in log rho, where rho is noise over signal. It ends at the
/// smallest training sigma, not at 0.
///
/// Source: Zhang and Chen, "Fast Sampling of Diffusion Models with Exponential Integrator" (2023).
/// Matches diffusers' `DEISMultistepScheduler`, with coefficients in double precision.
struct DEISScheduler: Scheduler {
  var timesteps: [Float] { schedule.timesteps }
  let initialNoiseSigma: Float = 1

  private let schedule: SigmaSchedule
  private let configuration: SchedulerConfiguration
  /// Predicted noise, newest first.
  private var noises: [[Float]] = []

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    var configuration = configuration
    configuration.finalSigma = .smallest
    schedule = try SigmaSchedule(
      solver: configuration, noise: try NoiseSchedule(configuration), steps: steps,
      endsWithLast: true, alwaysRounds: true)
    self.configuration = configuration
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.preservedNoised(clean, with: noise, at: evaluation)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let level = SolverLevel(schedule.sigmas[evaluation])
    let original = level.original(modelOutput, sample: sample, configuration.predictionType)
    let noise = elementwise(sample, original) { ($0 - level.alpha * $1) / level.sigma }
    noises = [noise] + noises.prefix(configuration.solverOrder - 1)
    // In variance-exploding form, the latents change by the integral of the noise over rho.
    var result = sample.map { $0 / level.alpha }
    for (weight, noise) in zip(coefficients(at: evaluation), noises) {
      let weight = Float(weight)
      result = elementwise(result, noise) { $0 + weight * $1 }
    }
    let alpha = SolverLevel(schedule.sigmas[evaluation + 1]).alpha
    return result.map { alpha * $0 }
  }

  /// The weights of the last predictions, newest first: integrals, from this sigma to the next, of
  /// the Lagrange polynomials of the logarithms of the last sigmas.
  private func coefficients(at evaluation: Int) -> [Double] {
    let start = Double(schedule.sigmas[evaluation])
    let end = Double(schedule.sigmas[evaluation + 1])
    let nodes = (0..<order(at: evaluation)).map { log(Double(schedule.sigmas[evaluation - $0])) }
    /// The antiderivative of the product of (log rho - node), for up to two nodes.
    func integral(_ rho: Double, _ roots: [Double]) -> Double {
      let logarithm = log(rho)
      switch roots.count {
      case 0: return rho
      case 1: return rho * (logarithm - roots[0] - 1)
      default:
        let (first, second) = (logarithm - roots[0] - 1, logarithm - roots[1] - 1)
        return rho * (first * second + 1)
      }
    }
    return nodes.indices.map { index in
      let roots = nodes.indices.filter { $0 != index }.map { nodes[$0] }
      let scale = roots.reduce(1) { $0 * (nodes[index] - $1) }
      return (integral(end, roots) - integral(start, roots)) / scale
    }
  }

  /// The order of a step: limited by the predictions so far, and lowered in the last steps if there
  /// are few.
  private func order(at evaluation: Int) -> Int {
    let isShort = (configuration.lowersFinalOrder ?? true) && timesteps.count < 15
    let remaining = isShort ? timesteps.count - evaluation : configuration.solverOrder
    return min(configuration.solverOrder, noises.count, remaining)
  }
}
