import Glibc
import ModelFormats

/// Timesteps and sigmas of schedulers that work in variance-exploding form.
struct SigmaSchedule: Sendable {
  /// One per step, in decreasing order; whole numbers for solvers.
  let timesteps: [Float]
  /// Noise over signal at each step, followed by the final value, usually 0.
  let sigmas: [Float]
  let initialNoiseSigma: Float

  /// The sigmas of methods with fractional timesteps.
  ///
  /// - Parameters:
  ///   - spaces: whether the scheduler reads `use_karras_sigmas` and `use_exponential_sigmas`.
  ///   - ends: whether it reads `final_sigmas_type`.
  ///   - roundsKarras: whether its timesteps are whole with Karras spacing.
  /// - Throws: ``FormatError`` `unsupported` if a timestep is before the first, or the sigmas
  ///   cannot be respaced.
  init(
    _ configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int,
    spaces: Bool = true, ends: Bool = false, roundsKarras: Bool = false
  ) throws(FormatError) {
    let spacing = configuration.timestepSpacing ?? .linspace
    let spread = try Timesteps.fractional(configuration, steps: steps, spacing: spacing)
    let training = noise.sigmas.map { Double($0) }
    let levels = spread.map { Self.interpolate(training, at: Double($0)) }
    let respaced = try Respaced(
      spaces ? configuration.spacing : configuration.sigmas, of: noise, from: levels[0],
      to: levels[levels.count - 1], count: levels.count)
    let rounds = roundsKarras && configuration.spacing == .karras
    timesteps =
      respaced?.timesteps.map { Float(rounds ? $0.rounded(.toNearestOrEven) : $0) } ?? spread
    let final = ends && configuration.finalSigma == .smallest ? noise.sigmas[0] : 0
    sigmas = (respaced?.levels ?? levels).map { Float($0) } + [final]
    let largest = sigmas.max() ?? 0
    initialNoiseSigma =
      spacing == .leading ? (largest * largest + 1).squareRoot() : largest
  }

  /// The sigmas of multistep solvers: whole timesteps; the spacing ends at the smallest training
  /// sigma.
  ///
  /// - Parameters:
  ///   - spacing: of timesteps; overrides the configuration.
  ///   - endsWithLast: whether a final sigma other than 0 is the last step's, if the spacing ends at
  ///     the smallest.
  ///   - alwaysRounds: whether Karras spacing uses the nearest timesteps for the cosine schedule too.
  /// - Throws: ``FormatError`` `unsupported` if a timestep is past the training ones, or the
  ///   sigmas cannot be respaced.
  init(
    solver configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int,
    spacing: SchedulerConfiguration.TimestepSpacing? = nil, endsWithLast: Bool,
    alwaysRounds: Bool = false
  ) throws(FormatError) {
    let training = noise.sigmas
    let whole: [Int]
    let levels: [Double]
    if let respaced = try Respaced(
      configuration.spacing, of: noise, from: Double(training[training.count - 1]),
      to: Double(training[0]), count: steps)
    {
      levels = respaced.levels
      let cuts =
        configuration.spacing == .exponential
        || configuration.betaSchedule == .squaredCosine && !alwaysRounds
      whole = respaced.timesteps.map { Int(cuts ? $0 : $0.rounded(.toNearestOrEven)) }
    } else {
      whole = try Timesteps.solver(
        configuration, steps: steps, spacing: spacing ?? configuration.timestepSpacing ?? .linspace)
      levels = whole.map { Double(training[$0]) }
    }
    timesteps = whole.map { Float($0) }
    let smallest =
      endsWithLast && configuration.spacing?.endsAtLowest == true
      ? Float(levels[levels.count - 1]) : training[0]
    sigmas = levels.map { Float($0) } + [configuration.finalSigma == .zero ? 0 : smallest]
    initialNoiseSigma = 1
  }

  /// The latents scaled to variance 1.
  func modelInput(for sample: [Float], at step: Int) -> [Float] {
    Self.modelInput(for: sample, sigma: sigmas[step])
  }

  /// Latents with any sigma, scaled to variance 1.
  static func modelInput(for sample: [Float], sigma: Float) -> [Float] {
    let divisor = (sigma * sigma + 1).squareRoot()
    return sample.map { $0 / divisor }
  }

  /// Clean latents with the noise of a step's sigma.
  func noised(_ clean: [Float], with noise: [Float], at step: Int) -> [Float] {
    let sigma = sigmas[step]
    return elementwise(clean, noise) { $0 + $1 * sigma }
  }

  /// Clean latents with the noise of a step's sigma, in variance-preserving form.
  func preservedNoised(_ clean: [Float], with noise: [Float], at step: Int) -> [Float] {
    let level = SolverLevel(sigmas[step])
    return elementwise(clean, noise) { level.alpha * $0 + level.sigma * $1 }
  }

  /// Linear interpolation between whole positions, constant past the last.
  private static func interpolate(_ values: [Double], at position: Double) -> Double {
    let lower = Int(position.rounded(.down))
    guard lower < values.count - 1 else { return values[values.count - 1] }
    return (values[lower + 1] - values[lower]) * (position - Double(lower)) + values[lower]
  }
}

/// Sigmas in place of those of the configuration's timesteps.
private struct Respaced {
  let levels: [Double]
  /// The timestep of each, which may be fractional.
  let timesteps: [Double]

  /// - Returns: nil without a spacing.
  /// - Throws: ``FormatError`` `unsupported` if the number of sigmas in a list is not that of the
  ///   steps, or a sigma is 0.
  init?(
    _ spacing: SigmaSpacing?, of noise: NoiseSchedule, from high: Double, to low: Double, count: Int
  ) throws(FormatError) {
    guard let spacing else { return nil }
    if case .list(let levels) = spacing {
      guard levels.count == count else {
        throw FormatError(
          .unsupported, "\(levels.count) sigmas for \(count) steps",
          context: Timesteps.context, hint: "list one sigma per step")
      }
    }
    let training = noise.sigmas
    // A sigma of 0 has no logarithm.
    guard low > 0, training[0] > 0, high.isFinite else {
      throw FormatError(
        .unsupported, "sigmas cannot be respaced: the first timestep has no noise",
        context: "scheduler_config.json",
        hint: "use a beta_start above 0, or omit use_karras_sigmas and"
          + " use_exponential_sigmas")
    }
    let levels = spacing.levels(of: training, from: high, to: low, count: count)
    self.levels = levels
    timesteps =
      spacing.timesteps(count, of: training.count) ?? levels.map { noise.timestep(of: $0) }
  }
}

extension NoiseSchedule {
  /// The fractional timestep with this sigma, interpolated on a logarithmic scale.
  func timestep(of sigma: Double) -> Double {
    // The reference computes these logarithms in float32.
    let logarithms = sigmas.map { Double(logf($0)) }
    let target = log(max(sigma, 1e-10))
    var lower = (logarithms.lastIndex { $0 <= target } ?? 0)
    lower = min(lower, logarithms.count - 2)
    let (low, high) = (logarithms[lower], logarithms[lower + 1])
    // Neighbors are equal if betas are too small to change the sigma.
    guard low < high else { return Double(lower) }
    let weight = min(max((low - target) / (low - high), 0), 1)
    return (1 - weight) * Double(lower) + weight * Double(lower + 1)
  }
}

extension SchedulerConfiguration {
  /// The requested spacing, or the file's.
  var spacing: SigmaSpacing? {
    if let sigmas { return sigmas }
    return usesKarrasSigmas ? .karras : usesExponentialSigmas ? .exponential : nil
  }
}
