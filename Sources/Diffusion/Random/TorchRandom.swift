import Glibc

/// The normal numbers of `torch.randn` on the CPU after `torch.manual_seed`, in float32.
///
/// They match torch's to within 2.5e-7, because torch approximates logarithm, cosine and sine with
/// vector code. Source: the output of torch 2.15; see DiffusionTests/TorchRandomTests.swift.
package struct TorchRandom: RandomSource {
  private var generator: MersenneTwister
  /// The unused sine half of the last pair of the short path.
  private var cached: Double?

  /// - Parameter seed: as in `torch.manual_seed`; its low 32 bits seed the generator.
  package init(seed: UInt64) {
    generator = MersenneTwister(seed: UInt32(truncatingIfNeeded: seed))
  }

  /// Draws a tensor of `count` elements; tensors of fewer than 16 use another path.
  package mutating func normal(count: Int) -> [Float] {
    precondition(count >= 0, "the element count is negative")
    return count < Self.block ? shortTensor(count) : longTensor(count)
  }

  private static let block = 16
  /// The float32 nearest to 2π; `Float.pi` is rounded towards zero.
  private static let twoPi = Float(2 * Double.pi)

  /// Uniform numbers for the whole tensor, transformed to normal numbers block by block. If the
  /// count is not a multiple of 16, the last 16 elements are drawn again, overlapping the last block.
  private mutating func longTensor(_ count: Int) -> [Float] {
    var values = [Float](repeating: 0, count: count)
    for index in 0..<count { values[index] = uniformFloat() }
    for start in stride(from: 0, through: count - Self.block, by: Self.block) {
      Self.transform(&values, from: start)
    }
    if count % Self.block != 0 {
      let start = count - Self.block
      for index in start..<count { values[index] = uniformFloat() }
      Self.transform(&values, from: start)
    }
    return values
  }

  /// Box-Muller on 16 uniform numbers: the first eight give radii, the last eight angles.
  private static func transform(_ values: inout [Float], from start: Int) {
    for index in start..<(start + block / 2) {
      let radius = sqrtf(-2 * logf(1 - values[index]))
      let angle = twoPi * values[index + block / 2]
      values[index] = radius * cosf(angle)
      values[index + block / 2] = radius * sinf(angle)
    }
  }

  /// Box-Muller in float64, one pair for every two elements; an unused value is kept
  /// for the next short tensor.
  private mutating func shortTensor(_ count: Int) -> [Float] {
    (0..<count).map { _ in
      if let value = cached {
        cached = nil
        return Float(value)
      }
      let angle = 2 * Double.pi * uniformDouble()
      let radius = (-2 * log1p(-uniformDouble())).squareRoot()
      cached = radius * sin(angle)
      return Float(radius * cos(angle))
    }
  }

  private mutating func uniformFloat() -> Float {
    Float(generator.next() & 0xFF_FFFF) * 0x1p-24
  }

  private mutating func uniformDouble() -> Double {
    Double(generator.next64() & 0x1F_FFFF_FFFF_FFFF) * 0x1p-53
  }
}
