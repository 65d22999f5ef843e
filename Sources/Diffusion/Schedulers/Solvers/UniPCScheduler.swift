import Glibc
import ModelFormats

extension SchedulerDescriptor {
  /// UniPC.
  public static let unipc = SchedulerDescriptor(
    name: "unipc", className: "UniPCMultistepScheduler", webUIName: "UniPC",
    aliases: ["uni_pc_bh2"],
    summary: "Multistep predictor-corrector method",
    source: "Zhao et al., UniPC (2023), algorithms 5 to 8",
    order: 2, noise: .never, takesSigmas: true,
    training: UniPCScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try UniPCScheduler(configuration, steps: steps)
  }
}

/// UniPC: a multistep predictor on the predicted clean latents, and a corrector that uses the
/// prediction at the end of the step once it is known.
///
/// Source: Zhao et al., "UniPC: A Unified Predictor-Corrector Framework" (2023), algorithms 5
/// to 8. Matches diffusers' `UniPCMultistepScheduler`.
struct UniPCScheduler: Scheduler {
  static let training = TrainingDefaults(rescaling: .bounded)

  var timesteps: [Float] { schedule.timesteps }
  let initialNoiseSigma: Float = 1

  private let schedule: SigmaSchedule
  private let configuration: SchedulerConfiguration
  /// Predicted clean latents, newest first.
  private var originals: [[Float]] = []
  private var lastSample: [Float] = []
  private var lastOrder = 0

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try SigmaSchedule(
      solver: configuration, noise: try NoiseSchedule(configuration, Self.training),
      steps: steps, endsWithLast: true)
    self.configuration = configuration
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.preservedNoised(clean, with: noise, at: evaluation)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let original = SolverLevel(schedule.sigmas[evaluation])
      .original(modelOutput, sample: sample, configuration.predictionType)
    var sample = sample
    if lastOrder > 0, !configuration.uncorrectedSteps.contains(evaluation - 1) {
      sample = update(
        lastSample, from: evaluation - 1, order: lastOrder, corrected: original)
    }
    originals = [original] + originals.prefix(configuration.solverOrder - 1)
    let remaining = configuration.lowersFinalOrder ?? true ? timesteps.count - evaluation : 3
    lastOrder = min(configuration.solverOrder, remaining, originals.count)
    lastSample = sample
    return update(sample, from: evaluation, order: lastOrder, corrected: nil)
  }

  /// The latents at the next sigma: predicted, or corrected with the prediction made there.
  private func update(
    _ sample: [Float], from position: Int, order: Int, corrected: [Float]?
  ) -> [Float] {
    let level = SolverLevel(schedule.sigmas[position])
    let next = SolverLevel(schedule.sigmas[position + 1])
    let step = next.lambda - level.lambda
    let decay = expm1f(-step)
    let sampleFactor = next.sigma / level.sigma
    let base = elementwise(sample, originals[0]) {
      sampleFactor * $0 - next.alpha * decay * $1
    }
    let ratios = (1..<order).map { back in
      (SolverLevel(schedule.sigmas[position - back]).lambda - level.lambda) / step
    }
    var differences = zip(ratios, originals.dropFirst()).map { ratio, earlier in
      elementwise(earlier, originals[0]) { ($0 - $1) / ratio }
    }
    let scale = configuration.solver == .bh1 ? -step : decay
    var weights: [Float]
    if let corrected {
      differences.append(elementwise(corrected, originals[0]) { $0 - $1 })
      weights = order == 1 ? [0.5] : Self.weights(ratios + [1], step: -step, scale: scale)
    } else {
      guard order > 1 else { return base }
      weights = order == 2 ? [0.5] : Self.weights(ratios, step: -step, scale: scale)
    }
    var sum = [Float](repeating: 0, count: sample.count)
    for (weight, difference) in zip(weights, differences) {
      sum = elementwise(sum, difference) { $0 + weight * $1 }
    }
    let factor = next.alpha * scale
    return elementwise(base, sum) { $0 - factor * $1 }
  }

  /// Solves for the weights that make the differences match the integral's expansion. Row i is
  /// Σ ratio^i · weight = φ(i) · (i + 1)! / scale.
  private static func weights(_ ratios: [Float], step: Float, scale: Float) -> [Float] {
    let count = ratios.count
    var rows: [[Double]] = []
    var phi = expm1f(step) / step - 1
    var factorial: Float = 1
    for power in 0..<count {
      rows.append(
        ratios.map { pow(Double($0), Double(power)) } + [Double(phi * factorial / scale)])
      factorial *= Float(power + 2)
      phi = phi / step - 1 / factorial
    }
    // Gaussian elimination with partial pivoting.
    for column in 0..<count {
      let pivot = (column..<count).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
      rows.swapAt(column, pivot)
      for row in 0..<count where row != column {
        let factor = rows[row][column] / rows[column][column]
        for entry in column...count { rows[row][entry] -= factor * rows[column][entry] }
      }
    }
    return rows.indices.map { Float(rows[$0][count] / rows[$0][$0]) }
  }
}
