import Glibc
import ModelFormats

/// Timesteps and noise levels of the schedulers that work in variance-exploding form.
struct SigmaSchedule: Sendable {
  /// One for each step, in falling order; those of solvers are whole.
  let timesteps: [Float]
  /// Noise over signal at each step, and the final one, 0 as a rule, behind the last.
  let sigmas: [Float]
  let initialNoiseSigma: Float

  /// The levels of methods that take timesteps between whole ones.
  ///
  /// - Parameters:
  ///   - spaces: whether the scheduler heeds Karras and exponential spacing.
  ///   - ends: whether it heeds `final_sigmas_type`.
  /// - Throws: ``FormatError`` `unsupported` where a timestep lies before the first, or the levels
  ///   cannot be respaced.
  init(
    _ configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int,
    spaces: Bool = true, ends: Bool = false
  ) throws(FormatError) {
    let spacing = configuration.timestepSpacing ?? .linspace
    let spread = try Timesteps.fractional(configuration, steps: steps, spacing: spacing)
    let training = noise.sigmas.map { Double($0) }
    let levels = spread.map { Self.interpolate(training, at: Double($0)) }
    let respaced =
      spaces
      ? try Self.respaced(
        configuration, from: levels[0], to: levels[levels.count - 1], count: levels.count) : nil
    timesteps =
      respaced?.map { Float(Self.timestep(of: $0, noise)) } ?? spread
    let final = ends && configuration.finalSigma == .smallest ? noise.sigmas[0] : 0
    sigmas = (respaced ?? levels).map { Float($0) } + [final]
    let largest = sigmas.max() ?? 0
    initialNoiseSigma =
      spacing == .leading ? (largest * largest + 1).squareRoot() : largest
  }

  /// The levels of multistep solvers: whole timesteps, and the first of the training levels as
  /// the end of the spacing.
  ///
  /// - Parameter endsWithLast: whether a final level other than 0 is the last step's, where the
  ///   levels are respaced.
  /// - Throws: ``FormatError`` `unsupported` where a timestep lies beyond the training ones, or the
  ///   levels cannot be respaced.
  init(
    solver configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int,
    endsWithLast: Bool
  ) throws(FormatError) {
    let training = noise.sigmas
    let whole: [Int]
    let levels: [Double]
    if let respaced = try Self.respaced(
      configuration, from: Double(training[training.count - 1]), to: Double(training[0]),
      count: steps)
    {
      levels = respaced
      let rounds = configuration.usesKarrasSigmas && configuration.betaSchedule != .squaredCosine
      whole = levels.map { level in
        let timestep = Self.timestep(of: level, noise)
        return Int(rounds ? timestep.rounded(.toNearestOrEven) : timestep)
      }
    } else {
      whole = try Timesteps.solver(configuration, steps: steps)
      levels = whole.map { Double(training[$0]) }
    }
    timesteps = whole.map { Float($0) }
    let smallest =
      endsWithLast && configuration.respacesSigmas ? Float(levels[levels.count - 1]) : training[0]
    sigmas = levels.map { Float($0) } + [configuration.finalSigma == .zero ? 0 : smallest]
    initialNoiseSigma = 1
  }

  /// The latents divided so that their variance is 1.
  func modelInput(for sample: [Float], at step: Int) -> [Float] {
    let divisor = (sigmas[step] * sigmas[step] + 1).squareRoot()
    return sample.map { $0 / divisor }
  }

  /// Linear between whole positions, constant beyond the last.
  private static func interpolate(_ values: [Double], at position: Double) -> Double {
    let lower = Int(position.rounded(.down))
    guard lower < values.count - 1 else { return values[values.count - 1] }
    return (values[lower + 1] - values[lower]) * (position - Double(lower)) + values[lower]
  }

  /// Karras or exponential levels, if the configuration asks for either.
  private static func respaced(
    _ configuration: SchedulerConfiguration, from high: Double, to low: Double, count: Int
  ) throws(FormatError) -> [Double]? {
    guard configuration.respacesSigmas else { return nil }
    // A level of 0 has no logarithm.
    guard low > 0, high.isFinite else {
      throw FormatError(
        .unsupported, "the first timestep adds no noise, so that noise levels cannot be respaced",
        context: "scheduler_config.json",
        hint: "give a beta_start above 0, or leave out use_karras_sigmas and"
          + " use_exponential_sigmas")
    }
    if configuration.usesKarrasSigmas { return karras(from: high, to: low, count: count) }
    return exponential(from: high, to: low, count: count)
  }

  /// Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models"
  /// (2022), formula 5 with rho 7.
  private static func karras(from high: Double, to low: Double, count: Int) -> [Double] {
    let (start, end) = (pow(high, 1 / 7.0), pow(low, 1 / 7.0))
    return ramp(count).map { pow(start + $0 * (end - start), 7) }
  }

  /// Evenly spaced logarithms.
  private static func exponential(from high: Double, to low: Double, count: Int) -> [Double] {
    let (start, end) = (log(high), log(low))
    return ramp(count).map { exp(start + $0 * (end - start)) }
  }

  private static func ramp(_ count: Int) -> [Double] {
    (0..<count).map { count > 1 ? Double($0) / Double(count - 1) : 0 }
  }

  /// The timestep between two whole ones whose noise level, on a logarithmic scale, this is.
  private static func timestep(of sigma: Double, _ noise: NoiseSchedule) -> Double {
    // The reference takes these logarithms in float32.
    let logarithms = noise.sigmas.map { Double(logf($0)) }
    let target = log(max(sigma, 1e-10))
    var lower = (logarithms.lastIndex { $0 <= target } ?? 0)
    lower = min(lower, logarithms.count - 2)
    let (low, high) = (logarithms[lower], logarithms[lower + 1])
    // Where betas are too small to change the level, neighbours are equal.
    guard low < high else { return Double(lower) }
    let weight = min(max((low - target) / (low - high), 0), 1)
    return (1 - weight) * Double(lower) + weight * Double(lower + 1)
  }
}

extension SchedulerConfiguration {
  fileprivate var respacesSigmas: Bool { usesKarrasSigmas || usesExponentialSigmas }
}
