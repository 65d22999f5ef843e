import Glibc

/// The normal numbers of `torch.randn` on a GPU after `torch.manual_seed`, in float32. Web UIs
/// reproduce them on the CPU ("NV").
///
/// Each call draws one tensor. Element i uses stream i, as on a GPU with one thread per element.
/// Source: Salmon et al., "Parallel Random
/// Numbers: As Easy as 1, 2, 3" (2011), Philox 4x32 with 10 rounds, and Box-Muller as in cuRAND.
package struct PhiloxRandom: RandomSource {
  private let key: (UInt32, UInt32)
  /// The number of tensors drawn so far.
  private var offset: UInt32 = 0

  /// - Parameter seed: as in `torch.manual_seed`.
  package init(seed: UInt64) {
    key = (UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
  }

  package mutating func normal(count: Int) -> [Float] {
    precondition(count >= 0 && count <= Int(UInt32.max), "stream numbers have 32 bits")
    defer { offset &+= 1 }
    return (0..<count).map { index in
      let (first, second) = random(offset, UInt32(index))
      let radius = (-2 * log(uniform(first))).squareRoot()
      return Float(radius * sin(uniform(second) * 2 * Double.pi))
    }
  }

  /// The middle of one of 2^32 steps from 0 to 1.
  private func uniform(_ bits: UInt32) -> Double { Double(bits) * 0x1p-32 + 0x1p-33 }

  /// The first two of the four words of a counter.
  private func random(_ offset: UInt32, _ stream: UInt32) -> (UInt32, UInt32) {
    var (a, b, c, d) = (offset, UInt32(0), stream, UInt32(0))
    var (low, high) = key
    for round in 0..<10 {
      if round > 0 {
        low &+= 0x9E37_79B9
        high &+= 0xBB67_AE85
      }
      let first = a.multipliedFullWidth(by: 0xD251_1F53)
      let second = c.multipliedFullWidth(by: 0xCD9E_8D57)
      (a, b, c, d) = (second.high ^ b ^ low, second.low, first.high ^ d ^ high, first.low)
    }
    return (a, b)
  }
}
