import CKernels

/// A histogram of values: sixteen bins per octave on either side of zero.
///
/// A value's bin is the top 13 bits of its F32 form (sign, exponent, four bits of the fraction). So
/// the range need not be known in advance, and coarser histograms can be derived from it.
public struct ValueHistogram: Sendable, Hashable {
  /// The values that share the upper bits.
  public struct Bin: Sendable, Hashable {
    let index: UInt16
    /// The number of values.
    public internal(set) var count: Int

    /// The edge of the bin nearer to zero.
    public var inner: Double { Double(Float(bitPattern: UInt32(index) << 19)) }
    /// The edge of the bin farther from zero.
    public var outer: Double {
      let end = Float(bitPattern: UInt32(index & 0xFFF) << 19 | 0x7FFFF).nextUp
      return isNegative ? -Double(end) : Double(end)
    }
    var isNegative: Bool { index & 0x1000 != 0 }
    /// The bin's rank: its values are less than those of the next rank.
    fileprivate var rank: Int { isNegative ? -1 - Int(index & 0xFFF) : Int(index) }
  }

  /// The bins that contain any value, smallest values first; zeros are in the first positive bin.
  public private(set) var bins: [Bin]

  init() {
    bins = []
  }

  /// - Parameter counts: by bin, as filled by `sdk_statistics_of`; infinities and NaN are ignored.
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

  /// Adds the values of another tensor.
  mutating func add(_ other: ValueHistogram) {
    // Both are sorted; there is one per block of a checkpoint.
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
  /// Values are assumed to be evenly distributed in each of ``bins``, so counts may be fractional;
  /// they add up to the number of values in the range.
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
      // A range of one value, or with only one edge of a bin, includes the whole bin.
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

  /// The number of values of either sign in each octave: `2^exponent` up to `2^(exponent + 1)`,
  /// from the smallest to the largest octave present. Zeros and subnormal numbers are ignored.
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

  /// The value below which a fraction of all values lies, accurate to one sixteenth; nil if there
  /// are none.
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
