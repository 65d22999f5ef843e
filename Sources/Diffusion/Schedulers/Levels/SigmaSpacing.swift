import Glibc

/// How the sigmas (noise levels) of the steps are spaced between the highest and the lowest, for
/// schedulers that work on sigmas.
public enum SigmaSpacing: Sendable, Hashable {
  /// Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models" (2022),
  /// formula 5 with rho 7.
  case karras
  /// Evenly spaced logarithms.
  case exponential
  /// Sabour et al., "Align Your Steps" (2024): sigmas optimized for Stable Diffusion v1.5 and ten
  /// steps; for other step counts, interpolated evenly on a logarithmic scale.
  case alignYourSteps
  /// Timesteps spaced evenly from the last training timestep towards the first, which is left out: the
  /// spacing of Stability AI's generative models. Sigmas between training timesteps are
  /// interpolated evenly on a logarithmic scale.
  case sgmUniform
  /// Every n-th training timestep, counted from the last.
  case simple
  /// Lee et al., "Beta Sampling is All You Need" (2024): timesteps at even quantiles of the beta
  /// distribution with both parameters 0.6, rounded to training timesteps. Many steps are near the
  /// first and the last timestep.
  case beta
  /// Explicit sigmas, decreasing and above 0, one per step.
  case list([Double])

  /// A spacing with the names that programs use for it.
  package struct Named: Sendable {
    /// The value of `--sigmas`.
    package let name: String
    /// The AUTOMATIC1111 web UI's name.
    package let webUIName: String
    /// stable-diffusion.cpp's name; nil if that program lacks it.
    package let cppName: String?
    package let spacing: SigmaSpacing

    /// The names in image metadata, of any program.
    package var recordedNames: [String] { [name, webUIName] + (cppName.map { [$0] } ?? []) }
  }

  /// The spacings that have a name.
  package static let named = [
    Named(name: "karras", webUIName: "Karras", cppName: "karras", spacing: .karras),
    Named(
      name: "exponential", webUIName: "Exponential", cppName: "exponential", spacing: .exponential),
    Named(name: "ays", webUIName: "Align Your Steps", cppName: "ays", spacing: .alignYourSteps),
    Named(
      name: "sgm_uniform", webUIName: "SGM Uniform", cppName: "sgm_uniform", spacing: .sgmUniform),
    Named(name: "simple", webUIName: "Simple", cppName: "simple", spacing: .simple),
    Named(name: "beta", webUIName: "Beta", cppName: nil, spacing: .beta),
  ]

  /// What stable-diffusion.cpp and the web UI call the scheduler's own spacing.
  static let defaultNames = ["discrete", "Automatic"]

  /// The spacing with a value of `--sigmas` as its name; nil if there is none.
  package init?(name: String) {
    guard let named = Self.named.first(where: { $0.name == name }) else { return nil }
    self = named.spacing
  }

  /// Whether the last step starts at the lowest sigma.
  var endsAtLowest: Bool { self == .karras || self == .exponential }

  /// The sigmas of `count` steps, without the 0 after the last.
  ///
  /// - Parameters:
  ///   - training: the sigma of each training timestep.
  ///   - high: the first sigma, if the spacing has no timesteps of its own.
  ///   - low: the last sigma, likewise.
  func levels(
    of training: [Float], from high: Double, to low: Double, count: Int
  ) -> [Double] {
    switch self {
    case .karras:
      let (start, end) = (pow(high, 1 / 7.0), pow(low, 1 / 7.0))
      return Self.ramp(count).map { pow(start + $0 * (end - start), 7) }
    case .exponential:
      let (start, end) = (log(high), log(low))
      return Self.ramp(count).map { exp(start + $0 * (end - start)) }
    case .alignYourSteps: return Self.aligned(count)
    case .sgmUniform, .simple, .beta:
      return (timesteps(count, of: training.count) ?? []).map {
        Self.interpolated(training, at: $0)
      }
    case .list(let levels): return levels
    }
  }

  /// The timesteps of `count` steps, which may be fractional; nil if the spacing is one of sigmas.
  func timesteps(_ count: Int, of trainingTimesteps: Int) -> [Double]? {
    let last = Double(trainingTimesteps - 1)
    switch self {
    case .sgmUniform: return (0..<count).map { last - last / Double(count) * Double($0) }
    case .simple:
      let stride = Double(trainingTimesteps) / Double(count)
      return (0..<count).map { last - (Double($0) * stride).rounded(.down) }
    case .beta:
      let distribution = SymmetricBeta(shape: 0.6)
      let exact = (0..<count).map {
        distribution.quantile(1 - Double($0) / Double(count)) * last
      }
      let whole = exact.map { $0.rounded(.toNearestOrEven) }
      // With many steps, some would be at the same timestep.
      return Set(whole).count == count ? whole : exact
    default: return nil
    }
  }

  /// The sigma at a timestep, interpolated evenly on a logarithmic scale.
  private static func interpolated(_ training: [Float], at timestep: Double) -> Double {
    let lower = Int(timestep)
    let weight = timestep - Double(lower)
    guard weight > 0, lower + 1 < training.count else { return Double(training[lower]) }
    return exp(
      (1 - weight) * log(Double(training[lower])) + weight * log(Double(training[lower + 1])))
  }

  private static func ramp(_ count: Int) -> [Double] {
    (0..<count).map { count > 1 ? Double($0) / Double(count - 1) : 0 }
  }

  /// The published sigmas. The last one is where the last step would end; that step goes to 0.
  private static let published = [
    14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092,
    0.9642583904, 0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582,
  ]

  private static func aligned(_ count: Int) -> [Double] {
    let last = published.count - 1
    return (0..<count).map { index in
      let position = Double(index * last) / Double(count)
      let lower = Int(position)
      let weight = position - Double(lower)
      guard weight > 0 else { return published[lower] }
      return exp((1 - weight) * log(published[lower]) + weight * log(published[lower + 1]))
    }
  }
}
