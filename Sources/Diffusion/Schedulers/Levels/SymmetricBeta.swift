import Glibc

/// The beta distribution whose two parameters are equal: density proportional to (x (1 - x))^(a - 1)
/// on 0 to 1.
package struct SymmetricBeta {
  /// The parameter a, above 0.
  private let shape: Double

  /// - Parameter shape: the parameter a, above 0.
  package init(shape: Double) { self.shape = shape }

  /// The position up to which the distribution has this probability, 0 to 1: the inverse of its
  /// cumulative distribution function.
  package func quantile(_ probability: Double) -> Double {
    // The distribution is its own mirror image.
    guard probability != 0.5 else { return 0.5 }
    guard probability < 0.5 else { return 1 - quantile(1 - probability) }
    // Half of the whole integral is on each side of the middle.
    let target = probability * 2 * integral(to: 0.5)
    var (low, high) = (0.0, 0.5)
    // Each pass halves the interval; more would not change a Double next to 0.5.
    for _ in 0..<60 {
      let middle = (low + high) / 2
      if integral(to: middle) < target { low = middle } else { high = middle }
    }
    return (low + high) / 2
  }

  /// The integral of (t (1 - t))^(a - 1) from 0 to `x`, which is at most 0.5: the binomial series of
  /// (1 - t)^(a - 1), integrated term by term.
  private func integral(to x: Double) -> Double {
    var coefficient = 1.0
    var power = 1.0
    var sum = 0.0
    var index = 0.0
    while true {
      let term = coefficient * power / (shape + index)
      guard sum + term != sum else { break }
      sum += term
      index += 1
      coefficient *= (index - shape) / index
      power *= x
    }
    return pow(x, shape) * sum
  }
}
