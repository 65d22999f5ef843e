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
  /// Explicit sigmas, decreasing and above 0, one per step.
  case list([Double])

  /// A spacing with the names that programs use for it.
  package struct Named: Sendable {
    /// The value of `--sigmas`.
    package let name: String
    /// The AUTOMATIC1111 web UI's name.
    package let webUIName: String
    /// stable-diffusion.cpp's name.
    package let cppName: String
    package let spacing: SigmaSpacing
  }

  /// The spacings that have a name.
  package static let named = [
    Named(name: "karras", webUIName: "Karras", cppName: "karras", spacing: .karras),
    Named(
      name: "exponential", webUIName: "Exponential", cppName: "exponential", spacing: .exponential),
    Named(name: "ays", webUIName: "Align Your Steps", cppName: "ays", spacing: .alignYourSteps),
  ]

  /// What stable-diffusion.cpp and the web UI call the scheduler's own spacing.
  static let defaultNames = ["discrete", "Automatic"]

  /// The spacing with a value of `--sigmas` as its name; nil if there is none.
  package init?(name: String) {
    guard let named = Self.named.first(where: { $0.name == name }) else { return nil }
    self = named.spacing
  }

  /// The sigmas of `count` steps, without the 0 after the last.
  func levels(from high: Double, to low: Double, count: Int) -> [Double] {
    switch self {
    case .karras:
      let (start, end) = (pow(high, 1 / 7.0), pow(low, 1 / 7.0))
      return Self.ramp(count).map { pow(start + $0 * (end - start), 7) }
    case .exponential:
      let (start, end) = (log(high), log(low))
      return Self.ramp(count).map { exp(start + $0 * (end - start)) }
    case .alignYourSteps: return Self.aligned(count)
    case .list(let levels): return levels
    }
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
