import CKernels

/// How often values of each size occur: sixteen bins to an octave on either side of zero.
///
/// A value's bin is the top 13 bits of its F32 form (sign, exponent, four bits of the fraction), so
/// it is found without knowing the range beforehand, and any histogram with bins that are not
/// much finer than a sixteenth of the values follows from it.
public struct ValueHistogram: Sendable, Hashable {
  /// The values that share the upper bits.
  public struct Bin: Sendable, Hashable {
    let index: UInt16
    /// How many values.
    public internal(set) var count: Int

    /// The end of the bin that is nearer to zero.
    public var inner: Double { Double(Float(bitPattern: UInt32(index) << 19)) }
    /// The end of the bin that is farther from zero.
    public var outer: Double {
      let end = Float(bitPattern: UInt32(index & 0xFFF) << 19 | 0x7FFFF).nextUp
      return isNegative ? -Double(end) : Double(end)
    }
    var isNegative: Bool { index & 0x1000 != 0 }
    /// The bin's place among all: its values are less than those of the next.
    fileprivate var rank: Int { isNegative ? -1 - Int(index & 0xFFF) : Int(index) }
  }

  /// The bins that hold any value, smallest values first; zeros are in the first positive bin.
  public private(set) var bins: [Bin]

  init() {
    bins = []
  }

  /// - Parameter counts: by bin, as `sdk_statistics_of` fills them; infinities and NaN are left out.
  init(counts: [UInt32]) {
    func bins(_ range: some Sequence<Int>) -> [Bin] {
      range.compactMap {
        counts[$0] == 0 ? nil : Bin(index: UInt16($0), count: Int(counts[$0]))
      }
    }
    // Exponent 255 is infinity or NaN.
    let finite = 0xFF0
    self.bins = bins((0x1000..<(0x1000 + finite)).reversed()) + bins(0..<finite)
  }

  /// The number of finite values.
  public var count: Int { bins.reduce(0) { $0 + $1.count } }

  /// The values of two tensors together.
  mutating func add(_ other: ValueHistogram) {
    // Both are in order; there is one for every block of a checkpoint.
    var merged: [Bin] = []
    merged.reserveCapacity(max(bins.count, other.bins.count))
    var rest = other.bins[...]
    for var bin in bins {
      while let next = rest.first, next.rank <= bin.rank {
        rest.removeFirst()
        if next.rank == bin.rank { bin.count += next.count } else { merged.append(next) }
      }
      merged.append(bin)
    }
    bins = merged + rest
  }
}

extension ValueHistogram {
  /// The histogram in bins of equal width over a range; values outside it are left out.
  ///
  /// Inside each of ``bins`` the values are taken to be spread evenly, so that counts may be
  /// fractions; they add up to the values in the range.
  public func linear(bins count: Int, in range: ClosedRange<Double>) -> [Double] {
    precondition(count > 0, "a histogram has a bin at least")
    var result = [Double](repeating: 0, count: count)
    let width = (range.upperBound - range.lowerBound) / Double(count)
    func slot(_ value: Double) -> Int {
      guard width > 0 else { return 0 }
      return Int(max(0, min(Double(count - 1), (value - range.lowerBound) / width)))
    }
    for bin in bins {
      let low = min(bin.inner, bin.outer)
      let high = max(bin.inner, bin.outer)
      let from = max(low, range.lowerBound)
      let to = min(high, range.upperBound)
      guard from <= to else { continue }
      // A range of one value, or one end of a bin only, takes the bin whole.
      guard to > from, width > 0 else {
        if range.lowerBound == range.upperBound { result[0] += Double(bin.count) }
        continue
      }
      for index in slot(from)...slot(to) {
        let start = max(from, range.lowerBound + Double(index) * width)
        let end = min(to, range.lowerBound + Double(index + 1) * width)
        if end > start { result[index] += Double(bin.count) * (end - start) / (high - low) }
      }
    }
    return result
  }

  /// How many values, of either sign, have a magnitude in each octave: `2^exponent` up to
  /// `2^(exponent + 1)`, for every octave from the smallest to the largest that occurs. Zeros and
  /// what is below F32's normal numbers are left out.
  public var octaves: [(exponent: Int, negative: Int, positive: Int)] {
    var counts: [Int: (Int, Int)] = [:]
    for bin in bins where bin.index & 0xFF0 != 0 {
      let exponent = Int(bin.index & 0xFF0) >> 4 - 127
      let (negative, positive) = counts[exponent] ?? (0, 0)
      counts[exponent] =
        bin.isNegative ? (negative + bin.count, positive) : (negative, positive + bin.count)
    }
    guard let least = counts.keys.min(), let greatest = counts.keys.max() else { return [] }
    return (least...greatest).map { exponent in
      let (negative, positive) = counts[exponent] ?? (0, 0)
      return (exponent, negative, positive)
    }
  }

  /// The value below which a share of all values lies, good to a sixteenth of itself; nil where
  /// there are none.
  public func quantile(_ share: Double) -> Double? {
    let total = count
    guard total > 0 else { return nil }
    let rank = max(0, min(1, share)) * Double(total)
    var below = 0.0
    for bin in bins {
      let low = min(bin.inner, bin.outer)
      let high = max(bin.inner, bin.outer)
      if below + Double(bin.count) >= rank {
        return low + (high - low) * (rank - below) / Double(bin.count)
      }
      below += Double(bin.count)
    }
    return bins.last.map { max($0.inner, $0.outer) }
  }
}
