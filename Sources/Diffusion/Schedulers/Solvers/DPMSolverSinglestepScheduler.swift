import Glibc
import ModelFormats

extension SchedulerDescriptor {
  /// DPM-Solver++, single-step.
  public static let dpmppSinglestep = SchedulerDescriptor(
    name: "dpmpp-2s", className: "DPMSolverSinglestepScheduler",
    algorithmTypes: ["dpmsolver++", "deis"], webUIName: "DPM++ 2S",
    summary: "DPM-Solver++, single step",
    source: "Lu et al., DPM-Solver++ (2022), algorithm 1",
    order: 2, noise: .never, takesSigmas: true, takesSpacing: false
  ) { configuration, steps, _ throws(FormatError) in
    try DPMSolverSinglestepScheduler(configuration, steps: steps)
  }
}

/// DPM-Solver++, single step, order 2: pairs of steps. The second of a pair starts where the first
/// did, and uses the predictions of both.
///
/// Source: Lu et al., "DPM-Solver++" (2022), algorithm 1. Matches diffusers'
/// `DPMSolverSinglestepScheduler`.
struct DPMSolverSinglestepScheduler: Scheduler {
  var timesteps: [Float] { schedule.timesteps }
  let initialNoiseSigma: Float = 1

  private let schedule: SigmaSchedule
  private let configuration: SchedulerConfiguration
  /// The order of each step, 1 or 2.
  private let orders: [Int]
  /// The last two predictions of clean latents, newest first.
  private var originals: [[Float]] = []
  private var savedSample: [Float] = []

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    guard configuration.solverOrder <= 2 else {
      throw FormatError(
        .unsupported, "solver_order is \(configuration.solverOrder); dpmpp-2s supports 1 and 2",
        context: "scheduler_config.json", hint: "choose the dpmpp-2m scheduler")
    }
    schedule = try SigmaSchedule(
      solver: configuration, noise: try NoiseSchedule(configuration), steps: steps,
      spacing: .linspace, endsWithLast: false, alwaysRounds: true)
    self.configuration = configuration
    let ends = configuration.finalSigma == .zero
    let lowers =
      (configuration.lowersFinalOrder ?? false) || ends || steps % configuration.solverOrder != 0
    var orders = (0..<steps).map { configuration.solverOrder == 2 && $0 % 2 == 1 ? 2 : 1 }
    if ends || lowers { orders[steps - 1] = 1 }
    self.orders = orders
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.preservedNoised(clean, with: noise, at: evaluation)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let level = SolverLevel(schedule.sigmas[evaluation])
    let original = level.original(modelOutput, sample: sample, configuration.predictionType)
    originals = [original] + originals.prefix(1)
    let next = SolverLevel(schedule.sigmas[evaluation + 1])
    // With img2img, the first step of the pair may have been skipped.
    guard orders[evaluation] == 2, originals.count == 2 else {
      savedSample = sample
      let decay = expf(-(next.lambda - level.lambda)) - 1
      let sampleFactor = next.sigma / level.sigma
      return elementwise(sample, original) { sampleFactor * $0 - next.alpha * decay * $1 }
    }
    let start = SolverLevel(schedule.sigmas[evaluation - 1])
    let step = next.lambda - start.lambda
    let ratio = (level.lambda - start.lambda) / step
    let decay = expf(-step) - 1
    let sampleFactor = next.sigma / start.sigma
    let base = elementwise(savedSample, originals[1]) {
      sampleFactor * $0 - next.alpha * decay * $1
    }
    let slope = elementwise(originals[0], originals[1]) { 1 / ratio * ($0 - $1) }
    if configuration.solver == .heun {
      let factor = next.alpha * (decay / step + 1)
      return elementwise(base, slope) { $0 + factor * $1 }
    }
    let factor = 0.5 * (next.alpha * decay)
    return elementwise(base, slope) { $0 - factor * $1 }
  }
}
