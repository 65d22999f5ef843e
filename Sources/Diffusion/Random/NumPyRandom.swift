import Glibc

/// The normal numbers of `numpy.random.RandomState(seed).standard_normal`, rounded to float32, as
/// Core ML pipelines and older tools use them.
///
/// Source: Marsaglia's polar method on MT19937, which numpy keeps for compatibility.
package struct NumPyRandom: RandomSource {
  private var generator: MersenneTwister
  /// The unused number of the last pair.
  private var cached: Double?

  /// - Parameter seed: a 32-bit seed, as in `numpy.random.RandomState`.
  package init(seed: UInt32) {
    generator = MersenneTwister(seed: seed)
  }

  package mutating func normal(count: Int) -> [Float] {
    precondition(count >= 0, "the element count is negative")
    return (0..<count).map { _ in Float(next()) }
  }

  private mutating func next() -> Double {
    if let value = cached {
      cached = nil
      return value
    }
    while true {
      let first = 2 * uniform() - 1
      let second = 2 * uniform() - 1
      let square = first * first + second * second
      guard square < 1, square > 0 else { continue }
      let factor = (-2 * log(square) / square).squareRoot()
      cached = factor * first
      return factor * second
    }
  }

  /// 53 bits; the first draw gives the upper 27.
  private mutating func uniform() -> Double {
    let high = Double(generator.next() >> 5)
    let low = Double(generator.next() >> 6)
    return (high * 0x1p26 + low) * 0x1p-53
  }
}
