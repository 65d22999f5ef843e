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
  ///   - spaces: whether the scheduler heeds `use_karras_sigmas` and `use_exponential_sigmas`.
  ///   - ends: whether it heeds `final_sigmas_type`.
  ///   - roundsKarras: whether its timesteps are whole where levels are spaced as Karras has it.
  /// - Throws: ``FormatError`` `unsupported` where a timestep lies before the first, or the levels
  ///   cannot be respaced.
  init(
    _ configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int,
    spaces: Bool = true, ends: Bool = false, roundsKarras: Bool = false
  ) throws(FormatError) {
    let spacing = configuration.timestepSpacing ?? .linspace
    let spread = try Timesteps.fractional(configuration, steps: steps, spacing: spacing)
    let training = noise.sigmas.map { Double($0) }
    let levels = spread.map { Self.interpolate(training, at: Double($0)) }
    let respaced = try Self.respaced(
      configuration, spaces ? configuration.spacing : configuration.sigmas, from: levels[0],
      to: levels[levels.count - 1], count: levels.count)
    let rounds = roundsKarras && configuration.spacing == .karras
    timesteps =
      respaced?.map { level in
        let timestep = noise.timestep(of: level)
        return Float(rounds ? timestep.rounded(.toNearestOrEven) : timestep)
      } ?? spread
    let final = ends && configuration.finalSigma == .smallest ? noise.sigmas[0] : 0
    sigmas = (respaced ?? levels).map { Float($0) } + [final]
    let largest = sigmas.max() ?? 0
    initialNoiseSigma =
      spacing == .leading ? (largest * largest + 1).squareRoot() : largest
  }

  /// The levels of multistep solvers: whole timesteps, and the first of the training levels as
  /// the end of the spacing.
  ///
  /// - Parameters:
  ///   - spacing: that of timesteps, whatever the configuration says.
  ///   - endsWithLast: whether a final level other than 0 is the last step's, where the levels are
  ///     respaced.
  ///   - alwaysRounds: whether Karras levels get the nearest timesteps for the cosine schedule too.
  /// - Throws: ``FormatError`` `unsupported` where a timestep lies beyond the training ones, or the
  ///   levels cannot be respaced.
  init(
    solver configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int,
    spacing: SchedulerConfiguration.TimestepSpacing? = nil, endsWithLast: Bool,
    alwaysRounds: Bool = false
  ) throws(FormatError) {
    let training = noise.sigmas
    let whole: [Int]
    let levels: [Double]
    if let respaced = try Self.respaced(
      configuration, configuration.spacing, from: Double(training[training.count - 1]),
      to: Double(training[0]), count: steps)
    {
      levels = respaced
      let cuts =
        configuration.spacing == .exponential
        || configuration.betaSchedule == .squaredCosine && !alwaysRounds
      whole = levels.map { level in
        let timestep = noise.timestep(of: level)
        return Int(cuts ? timestep : timestep.rounded(.toNearestOrEven))
      }
    } else {
      whole = try Timesteps.solver(
        configuration, steps: steps, spacing: spacing ?? configuration.timestepSpacing ?? .linspace)
      levels = whole.map { Double(training[$0]) }
    }
    timesteps = whole.map { Float($0) }
    let smallest =
      endsWithLast && configuration.spacing != nil ? Float(levels[levels.count - 1]) : training[0]
    sigmas = levels.map { Float($0) } + [configuration.finalSigma == .zero ? 0 : smallest]
    initialNoiseSigma = 1
  }

  /// The latents divided so that their variance is 1.
  func modelInput(for sample: [Float], at step: Int) -> [Float] {
    Self.modelInput(for: sample, sigma: sigmas[step])
  }

  /// The same at any level, as between two steps.
  static func modelInput(for sample: [Float], sigma: Float) -> [Float] {
    let divisor = (sigma * sigma + 1).squareRoot()
    return sample.map { $0 / divisor }
  }

  /// Clean latents with the noise of a step's level.
  func noised(_ clean: [Float], with noise: [Float], at step: Int) -> [Float] {
    let sigma = sigmas[step]
    return elementwise(clean, noise) { $0 + $1 * sigma }
  }

  /// The same in variance-preserving form.
  func preservedNoised(_ clean: [Float], with noise: [Float], at step: Int) -> [Float] {
    let level = SolverLevel(sigmas[step])
    return elementwise(clean, noise) { level.alpha * $0 + level.sigma * $1 }
  }

  /// Linear between whole positions, constant beyond the last.
  private static func interpolate(_ values: [Double], at position: Double) -> Double {
    let lower = Int(position.rounded(.down))
    guard lower < values.count - 1 else { return values[values.count - 1] }
    return (values[lower + 1] - values[lower]) * (position - Double(lower)) + values[lower]
  }

  /// The levels that the spacing gives, if there is one.
  private static func respaced(
    _ configuration: SchedulerConfiguration, _ spacing: SigmaSpacing?, from high: Double,
    to low: Double, count: Int
  ) throws(FormatError) -> [Double]? {
    guard let spacing else { return nil }
    if case .list(let levels) = spacing {
      guard levels.count == count else {
        throw FormatError(
          .unsupported, "\(levels.count) noise levels do not give \(count) steps",
          context: Timesteps.context, hint: "give one level for each step")
      }
    }
    // A level of 0 has no logarithm.
    guard low > 0, high.isFinite else {
      throw FormatError(
        .unsupported, "the first timestep adds no noise, so that noise levels cannot be respaced",
        context: "scheduler_config.json",
        hint: "give a beta_start above 0, or leave out use_karras_sigmas and"
          + " use_exponential_sigmas")
    }
    return spacing.levels(from: high, to: low, count: count)
  }
}

extension NoiseSchedule {
  /// The timestep between two whole ones whose noise level, on a logarithmic scale, this is.
  func timestep(of sigma: Double) -> Double {
    // The reference takes these logarithms in float32.
    let logarithms = sigmas.map { Double(logf($0)) }
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
  /// What was asked for, or what the file says.
  var spacing: SigmaSpacing? {
    if let sigmas { return sigmas }
    return usesKarrasSigmas ? .karras : usesExponentialSigmas ? .exponential : nil
  }
}
