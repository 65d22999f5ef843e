import ModelFormats

extension SchedulerDescriptor {
  /// Linear multistep.
  public static let lms = SchedulerDescriptor(
    name: "lms", className: "LMSDiscreteScheduler", webUIName: "LMS", cppName: "lms",
    summary: "Linear multistep method on the probability flow (K-LMS)",
    source: "Karras et al., Elucidating the Design Space (2022), with Adams-Bashforth of order 4",
    order: 4, noise: .never, takesSigmas: true
  ) { configuration, steps, _ throws(FormatError) in
    try LMSScheduler(configuration, steps: steps)
  }
}

/// The linear multistep method of order 4 on the probability flow (K-LMS).
///
/// Source: Karras et al. (2022) for the flow; Adams-Bashforth with uneven steps for the method.
/// Matches diffusers' `LMSDiscreteScheduler`, with integrals in closed form instead of numerical
/// ones.
package struct LMSScheduler: Scheduler {
  package var timesteps: [Float] { schedule.timesteps }
  package var initialNoiseSigma: Float { schedule.initialNoiseSigma }

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  /// Up to four derivatives, newest first.
  private var derivatives: [[Float]] = []

  package init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try SigmaSchedule(
      configuration, noise: try NoiseSchedule(configuration), steps: steps)
    predictionType = configuration.predictionType
  }

  package func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    schedule.modelInput(for: sample, at: evaluation)
  }

  package func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: evaluation)
  }

  package mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let sigma = schedule.sigmas[evaluation]
    let original = predictionType.original(modelOutput: modelOutput, sample: sample, sigma: sigma)
    let derivative = elementwise(sample, original) { ($0 - $1) / sigma }
    derivatives = [derivative] + derivatives.prefix(3)

    // With img2img, the reference uses full-order weights though it has fewer derivatives.
    let coefficients = coefficients(at: evaluation, order: min(evaluation + 1, 4))
    var change = [Float](repeating: 0, count: sample.count)
    for (coefficient, derivative) in zip(coefficients, derivatives) {
      let factor = Float(coefficient)
      change = elementwise(change, derivative) { $0 + factor * $1 }
    }
    return elementwise(sample, change) { $0 + $1 }
  }

  /// The weights of the last derivatives, newest first: integrals, from this sigma to the next, of
  /// the Lagrange polynomials of the last sigmas.
  package func coefficients(at step: Int, order: Int) -> [Double] {
    let sigmas = schedule.sigmas
    let nodes = (0..<order).map { Double(sigmas[step - $0]) }
    // Relative to the current sigma, to keep the powers small.
    let origin = nodes[0]
    let end = Double(sigmas[step + 1]) - origin
    return nodes.indices.map { index in
      var polynomial = [1.0]
      for (other, node) in nodes.enumerated() where other != index {
        let scale = 1 / (nodes[index] - node)
        var product = [Double](repeating: 0, count: polynomial.count + 1)
        for (power, coefficient) in polynomial.enumerated() {
          product[power] -= coefficient * (node - origin) * scale
          product[power + 1] += coefficient * scale
        }
        polynomial = product
      }
      var integral = 0.0
      for (power, coefficient) in polynomial.enumerated().reversed() {
        integral = (integral + coefficient / Double(power + 1)) * end
      }
      return integral
    }
  }
}
