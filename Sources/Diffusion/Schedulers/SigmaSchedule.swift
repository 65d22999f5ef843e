import Glibc
import ModelFormats

/// Timesteps and noise levels of the schedulers that work in variance-exploding form.
struct SigmaSchedule: Sendable {
  /// One for each step, in falling order.
  let timesteps: [Float]
  /// Noise over signal at each step, and 0 behind the last.
  let sigmas: [Float]
  let initialNoiseSigma: Float

  init(
    _ configuration: SchedulerConfiguration, noise: NoiseSchedule, steps: Int
  ) {
    let spacing = configuration.timestepSpacing ?? .linspace
    let spread = Timesteps.fractional(configuration, steps: steps, spacing: spacing)
    let training = noise.sigmas.map { Double($0) }
    let levels = spread.map { Self.interpolate(training, at: Double($0)) }
    let (high, low) = (levels[0], levels[levels.count - 1])
    let exact: [Double]
    if configuration.usesKarrasSigmas {
      exact = Self.karras(from: high, to: low, count: levels.count)
    } else if configuration.usesExponentialSigmas {
      exact = Self.exponential(from: high, to: low, count: levels.count)
    } else {
      exact = levels
    }
    if configuration.usesKarrasSigmas || configuration.usesExponentialSigmas {
      // The reference takes these logarithms in float32.
      let logarithms = noise.sigmas.map { Double(logf($0)) }
      timesteps = exact.map { Float(Self.timestep(of: $0, logarithms: logarithms)) }
    } else {
      timesteps = spread
    }
    sigmas = exact.map { Float($0) } + [0]
    let largest = sigmas.max() ?? 0
    initialNoiseSigma =
      spacing == .leading ? (largest * largest + 1).squareRoot() : largest
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
  private static func timestep(of sigma: Double, logarithms: [Double]) -> Double {
    let target = log(max(sigma, 1e-10))
    var lower = (logarithms.lastIndex { $0 <= target } ?? 0)
    lower = min(lower, logarithms.count - 2)
    let (low, high) = (logarithms[lower], logarithms[lower + 1])
    let weight = min(max((low - target) / (low - high), 0), 1)
    return (1 - weight) * Double(lower) + weight * Double(lower + 1)
  }
}
