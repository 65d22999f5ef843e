import Glibc

/// How the noise levels of a picture's steps lie between the highest and the lowest, for the
/// schedulers that work on noise levels.
public enum SigmaSpacing: Sendable, Hashable {
  /// Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models" (2022),
  /// formula 5 with rho 7.
  case karras
  /// Evenly spaced logarithms.
  case exponential
  /// Sabour et al., "Align Your Steps" (2024): levels optimised for Stable Diffusion v1.5 and ten
  /// steps, evenly spaced between them on a logarithmic scale for other numbers of steps.
  case alignYourSteps
  /// These, falling and above 0, one for each step.
  case list([Double])

  /// The levels of `count` steps, without the 0 that follows the last.
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

  /// The published levels; the last stands for the end of the last step, which goes on to 0.
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
