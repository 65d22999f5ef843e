import Glibc

/// A second noise that is mixed with a seed's: the web UI's variation seed.
public struct NoiseVariation: Sendable, Hashable {
  /// The seed of the second noise.
  public var seed: UInt64
  /// The fraction of the second noise, 0 to 1.
  public var strength: Double

  /// A variation by the noise of a seed, with a strength of 0 to 1.
  public init(seed: UInt64, strength: Double) {
    self.seed = seed
    self.strength = strength
  }

  /// The noise of one image, `[1, channels, height, width]`, between two of the same shape.
  ///
  /// The columns of each channel are turned towards those of the second noise, which keeps their
  /// length; if the two are nearly parallel, they are mixed linearly, with the weights that way round.
  ///
  /// Source: `slerp` in `modules/rng.py` of the AUTOMATIC1111 web UI.
  package func mixed(_ first: Latents, _ second: Latents) -> Latents {
    precondition(first.shape == second.shape, "noises of different shapes")
    guard strength != 0 else { return first }
    let (height, width) = (first.height, first.width)
    let columns = first.channels * width
    /// The place of a row of a column.
    func place(_ column: Int, _ row: Int) -> Int {
      (column / width * height + row) * width + column % width
    }
    let share = Float(strength)
    let angles = (0..<columns).map { column -> Float in
      var (firstSum, secondSum): (Float, Float) = (0, 0)
      for row in 0..<height {
        let (one, other) = (first.values[place(column, row)], second.values[place(column, row)])
        firstSum += one * one
        secondSum += other * other
      }
      let (firstNorm, secondNorm) = (firstSum.squareRoot(), secondSum.squareRoot())
      return (0..<height).reduce(Float(0)) { sum, row in
        let position = place(column, row)
        return sum + (first.values[position] / firstNorm) * (second.values[position] / secondNorm)
      }
    }
    if angles.reduce(0, +) / Float(columns) > 0.9995 {
      return first.with(
        elementwise(first.values, second.values) { $0 * share + $1 * (1 - share) })
    }
    var values = first.values
    for column in 0..<columns {
      let angle = acosf(angles[column])
      let (from, to) = (
        sinf((1 - share) * angle) / sinf(angle), sinf(share * angle) / sinf(angle)
      )
      for row in 0..<height {
        let position = place(column, row)
        values[position] = from * first.values[position] + to * second.values[position]
      }
    }
    return first.with(values)
  }
}
