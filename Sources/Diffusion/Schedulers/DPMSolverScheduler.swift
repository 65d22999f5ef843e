import Glibc
import ModelFormats

/// DPM-Solver++, multistep, of first to third order on the predicted picture.
///
/// Source: Lu et al., "DPM-Solver++" (2022), algorithm 2 and appendix. Matches diffusers'
/// `DPMSolverMultistepScheduler`; with its defaults it is known as DPM++ 2M.
public struct DPMSolverScheduler: Scheduler {
  public var timesteps: [Float] { schedule.timesteps }
  public let initialNoiseSigma: Float = 1

  private let schedule: SigmaSchedule
  private let configuration: SchedulerConfiguration
  /// Predicted pictures, newest first.
  private var originals: [[Float]] = []

  public init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try SigmaSchedule(
      solver: configuration, noise: try NoiseSchedule(configuration, rescaling: .bounded),
      steps: steps, endsWithLast: false)
    self.configuration = configuration
  }

  public mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let level = SolverLevel(schedule.sigmas[evaluation])
    let original = level.original(modelOutput, sample: sample, configuration.predictionType)
    originals = [original] + originals.prefix(configuration.solverOrder - 1)

    let next = SolverLevel(schedule.sigmas[evaluation + 1])
    let step = next.lambda - level.lambda
    // exp(-step) - 1, of which the reference takes the exponential first.
    let decay = expf(-step) - 1
    let sampleFactor = next.sigma / level.sigma
    let base = elementwise(sample, original) { sampleFactor * $0 - next.alpha * decay * $1 }
    let order = self.order(at: evaluation)
    guard order > 1 else { return base }

    let before = SolverLevel(schedule.sigmas[evaluation - 1])
    let ratio = (level.lambda - before.lambda) / step
    let first = elementwise(originals[0], originals[1]) { 1 / ratio * ($0 - $1) }
    if order == 2 {
      if configuration.solver == .heun {
        let factor = next.alpha * (decay / step + 1)
        return elementwise(base, first) { $0 + factor * $1 }
      }
      let factor = 0.5 * (next.alpha * decay)
      return elementwise(base, first) { $0 - factor * $1 }
    }
    let earliest = SolverLevel(schedule.sigmas[evaluation - 2])
    let earlierRatio = (before.lambda - earliest.lambda) / step
    let earlier = elementwise(originals[1], originals[2]) { 1 / earlierRatio * ($0 - $1) }
    let weight = ratio / (ratio + earlierRatio)
    let scale = 1 / (ratio + earlierRatio)
    let slope = elementwise(first, earlier) { $0 + weight * ($0 - $1) }
    let curve = elementwise(first, earlier) { scale * ($0 - $1) }
    let slopeFactor = next.alpha * (decay / step + 1)
    let curveFactor = next.alpha * ((decay + step) / (step * step) - 0.5)
    return elementwise(base, slope, curve) { $0 + slopeFactor * $1 - curveFactor * $2 }
  }

  /// As many outputs as there are, and fewer at the end, where the noise vanishes or steps are few.
  private func order(at evaluation: Int) -> Int {
    let count = timesteps.count
    let isShort = configuration.lowersFinalOrder && count < 15
    var order = min(configuration.solverOrder, evaluation + 1)
    if evaluation == count - 1,
      configuration.endsWithEuler || isShort || configuration.finalSigma == .zero
    {
      order = 1
    }
    if evaluation == count - 2, isShort { order = min(order, 2) }
    return order
  }
}
