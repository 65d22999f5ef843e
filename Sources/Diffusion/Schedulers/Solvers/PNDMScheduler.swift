import ModelFormats

extension SchedulerDescriptor {
  /// PNDM: Stable Diffusion v1.5's own.
  public static let pndm = SchedulerDescriptor(
    name: "pndm", className: "PNDMScheduler", webUIName: "PLMS",
    neighbors: [Neighbor(name: "ipndm"), Neighbor(name: "ipndm_v")],
    summary: "Pseudo linear multistep method; Stable Diffusion v1.5's own",
    source: "Liu et al., Pseudo Numerical Methods for Diffusion Models on Manifolds (2022),"
      + " formulas 9, 12, 13",
    order: 4, noise: .never, takesSigmas: false, hasRungeKuttaStart: true,
    supportsSamplePrediction: false
  ) { configuration, steps, _ throws(FormatError) in
    try PNDMScheduler(configuration, steps: steps)
  }
}

/// Pseudo numerical methods for diffusion models: a linear multistep method of order 4. It starts
/// with Runge-Kutta steps or, as in Stable Diffusion, with one repeated step.
///
/// Source: Liu, Ren, Lin and Zhao, "Pseudo Numerical Methods for Diffusion Models on Manifolds"
/// (2022), formulas 9, 12 and 13. Matches diffusers' `PNDMScheduler`.
struct PNDMScheduler: Scheduler {
  let timesteps: [Float]
  let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  /// Training timesteps from one step to the next.
  private let stride: Int
  /// The Runge-Kutta evaluations, four per step; empty if they are skipped.
  private let rungeKuttaTimesteps: [Int]
  private var evaluationsMade = 0
  /// Up to four model outputs, oldest first.
  private var history: [[Float]] = []
  private var savedSample: [Float] = []
  private var weightedOutput: [Float] = []

  /// - Throws: ``FormatError`` `unsupported` for fewer steps than the Runge-Kutta start takes.
  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    predictionType = configuration.predictionType
    schedule = try NoiseSchedule(configuration)
    stride = configuration.trainingTimesteps / steps
    let rising = Array(
      try Timesteps.whole(
        configuration, steps: steps, spacing: configuration.timestepSpacing ?? .leading
      ).reversed())
    let multistep: [Int]
    if configuration.skipsRungeKutta {
      rungeKuttaTimesteps = []
      multistep = (rising.dropLast() + rising.dropLast().suffix(1) + rising.suffix(1)).reversed()
    } else {
      guard steps >= 4 else {
        throw FormatError(
          .unsupported, "too few steps for PNDM with Runge-Kutta steps: \(steps)",
          context: Timesteps.context, hint: "use 4 steps or more, or set skip_prk_steps")
      }
      let half = stride / 2
      let halves = rising.suffix(4).flatMap { [$0, $0 + half] }.dropLast()
      rungeKuttaTimesteps = halves.flatMap { [$0, $0] }.dropFirst().dropLast().reversed()
      multistep = rising.dropLast(3).reversed()
    }
    let all = rungeKuttaTimesteps + multistep
    try Timesteps.check(all, configuration, steps: steps)
    timesteps = all.map { Float($0) }
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: timesteps[evaluation])
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    defer { evaluationsMade += 1 }
    return evaluation < rungeKuttaTimesteps.count
      ? rungeKuttaStep(modelOutput, at: evaluation, sample: sample)
      : multistep(modelOutput, at: evaluation, sample: sample)
  }

  /// Counts four evaluations per Runge-Kutta step. (diffusers counts one, and then steps from the
  /// wrong timesteps.)
  func firstEvaluation(strength: Double, steps: Int) -> Int {
    let skipped = skippedSteps(strength: strength, steps: steps)
    let ofFour = min(skipped, rungeKuttaTimesteps.count / 4)
    return min(skipped + 3 * ofFour, timesteps.count)
  }

  private mutating func rungeKuttaStep(
    _ modelOutput: [Float], at evaluation: Int, sample: [Float]
  ) -> [Float] {
    let previous =
      rungeKuttaTimesteps[evaluation] - (evaluation % 2 == 0 ? stride / 2 : 0)
    let timestep = rungeKuttaTimesteps[evaluation / 4 * 4]
    var output = modelOutput
    switch evaluation % 4 {
    case 0:
      weightedOutput = modelOutput.map { Float(1.0 / 6) * $0 }
      history.append(modelOutput)
      savedSample = sample
    case 3:
      output = elementwise(weightedOutput, modelOutput) { $0 + Float(1.0 / 6) * $1 }
    default:
      weightedOutput = elementwise(weightedOutput, modelOutput) { $0 + Float(1.0 / 3) * $1 }
    }
    return transfer(savedSample, from: timestep, to: previous, modelOutput: output)
  }

  private mutating func multistep(
    _ modelOutput: [Float], at evaluation: Int, sample: [Float]
  ) -> [Float] {
    var timestep = Int(timesteps[evaluation])
    var previous = timestep - stride
    if evaluationsMade == 1 && rungeKuttaTimesteps.isEmpty {
      // Repeats the first step with the mean of the outputs at its two ends. If img2img starts
      // after the repeated timestep, the reference still repeats a step, and is one behind from
      // there on.
      previous = timestep
      timestep += stride
      let mean = elementwise(modelOutput, history[0]) { ($0 + $1) / 2 }
      return transfer(savedSample, from: timestep, to: previous, modelOutput: mean)
    }
    history = history.suffix(3) + [modelOutput]
    if evaluationsMade == 0 { savedSample = sample }
    return transfer(sample, from: timestep, to: previous, modelOutput: extrapolated())
  }

  /// Adams-Bashforth extrapolation of the outputs so far.
  private func extrapolated() -> [Float] {
    let last = history.count - 1
    switch history.count {
    case 1: return history[0]
    case 2: return elementwise(history[last], history[last - 1]) { (3 * $0 - $1) / 2 }
    case 3:
      return elementwise(history[last], history[last - 1], history[last - 2]) {
        (23 * $0 - 16 * $1 + 5 * $2) / 12
      }
    default:
      let newer = elementwise(history[last], history[last - 1]) { 55 * $0 - 59 * $1 }
      return elementwise(newer, history[last - 2], history[last - 3]) {
        Float(1.0 / 24) * ($0 + 37 * $1 - 9 * $2)
      }
    }
  }

  /// Formula 9: the latents at another timestep, given a model output.
  private func transfer(
    _ sample: [Float], from timestep: Int, to previous: Int, modelOutput: [Float]
  ) -> [Float] {
    let alpha = schedule.cumulativeAlpha(at: timestep)
    let previousAlpha = schedule.cumulativeAlpha(at: previous)
    let beta = 1 - alpha
    let previousBeta = 1 - previousAlpha
    var noise = modelOutput
    if predictionType == .velocity {
      let (signal, spread) = (alpha.squareRoot(), beta.squareRoot())
      noise = elementwise(modelOutput, sample) { signal * $0 + spread * $1 }
    }
    let sampleFactor = (previousAlpha / alpha).squareRoot()
    let divisor =
      alpha * previousBeta.squareRoot() + (alpha * beta * previousAlpha).squareRoot()
    let change = previousAlpha - alpha
    return elementwise(sample, noise) { sampleFactor * $0 - change * $1 / divisor }
  }
}
