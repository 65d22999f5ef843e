import CKernels
import ModelFormats
import Synchronization

/// Statistics of a tensor's values.
///
/// Minimum, maximum, mean and standard deviation are of the finite values. A complex element counts
/// as two numbers.
public struct TensorStatistics: Sendable, Hashable {
  /// The number of values.
  public internal(set) var count = 0
  /// How many values are finite.
  public internal(set) var finite = 0
  /// Of either sign.
  public internal(set) var zeros = 0
  /// How many values are NaN.
  public internal(set) var nans = 0
  /// How many values are infinite.
  public internal(set) var infinities = 0
  /// Finite values out of range of F16: a cast makes magnitudes from 65520 up infinite.
  public internal(set) var f16Overflows = 0
  /// Nonzero values that become zero in F16: magnitudes up to 2^-25.
  public internal(set) var f16Underflows = 0
  /// The smallest and largest finite value; nil if there is none.
  public internal(set) var extremes: ClosedRange<Double>?
  /// The distribution of the finite values; nil unless requested.
  public internal(set) var histogram: ValueHistogram?
  var centre = 0.0
  /// The sum of squared distances from the mean.
  var square = 0.0

  /// Statistics of no values.
  public init() {}

  /// The least finite value; nil if there is none.
  public var minimum: Double? { extremes?.lowerBound }
  /// The greatest finite value; nil if there is none.
  public var maximum: Double? { extremes?.upperBound }
  /// The mean of the finite values; nil if there is none.
  public var mean: Double? { finite == 0 ? nil : centre }
  /// The population standard deviation. Infinite if squares overflow F64.
  public var standardDeviation: Double? {
    finite == 0 ? nil : (square / Double(finite)).squareRoot()
  }

  /// Adds the statistics of another set of values.
  ///
  /// Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
  /// sample variances", 1979.
  public mutating func add(_ other: TensorStatistics) {
    count += other.count
    zeros += other.zeros
    nans += other.nans
    infinities += other.infinities
    f16Overflows += other.f16Overflows
    f16Underflows += other.f16Underflows
    if let theirs = other.histogram {
      if histogram == nil { histogram = theirs } else { histogram?.add(theirs) }
    }
    guard other.finite > 0 else { return }
    guard finite > 0 else {
      (finite, extremes, centre, square) = (
        other.finite, other.extremes, other.centre, other.square
      )
      return
    }
    let (mine, theirs) = (Double(finite), Double(other.finite))
    let distance = other.centre - centre
    let step = distance * theirs / (mine + theirs)
    // The distance between means at both ends of F64 overflows F64.
    centre =
      step.isFinite
      ? centre + step
      : centre * (mine / (mine + theirs)) + other.centre * (theirs / (mine + theirs))
    square += other.square + distance * distance * mine * theirs / (mine + theirs)
    finite += other.finite
    if let range = extremes, let others = other.extremes {
      extremes =
        min(range.lowerBound, others.lowerBound)...max(range.upperBound, others.upperBound)
    }
  }
}

extension TensorStatistics {
  /// The statistics of each tensor, in one pass over its values on all cores, a block at a time;
  /// independent of the number of cores.
  ///
  /// - Parameters:
  ///   - histograms: whether to compute ``histogram``, which takes about half as long again.
  ///   - progress: called occasionally, on the caller's thread, with the fraction done.
  /// - Returns: results in the order of the tensors; nil for the packed 6-bit types, whose bit
  ///   order is unspecified.
  /// - Throws: ``FormatError`` if reading fails.
  public static func of(
    _ tensors: [Tensor], histograms: Bool = false, _ progress: (Double) -> Void = { _ in }
  ) throws(FormatError) -> [TensorStatistics?] {
    let work = ElementBlocks(
      tensors.map { tensor in
        let isKnown = NumberKind(tensor.dtype) != nil
        return (isKnown ? tensor.elementCount : 0, tensor.dtype.bitWidth)
      })
    let results = Mutex([TensorStatistics](repeating: .init(), count: work.blocks.count))
    try work.share(progress) { (next) throws(FormatError) in
      let buffer = BlockBuffer()
      var summer = BlockSummer(histograms: histograms)
      while let position = next() {
        let block = work.blocks[position]
        let tensor = tensors[block.tensor]
        guard let kind = NumberKind(tensor.dtype) else { continue }
        let result = try tensor.withElements(block.elements, buffer) {
          (bytes) throws(FormatError) in
          summer.statistics(of: bytes, kind)
        }
        results.withLock { $0[position] = result }
      }
    }
    var sums: [TensorStatistics?] = tensors.map { tensor in
      guard NumberKind(tensor.dtype) != nil else { return nil }
      var none = TensorStatistics()
      if histograms { none.histogram = ValueHistogram() }
      return none
    }
    // In the order of the blocks, so that rounding is deterministic.
    results.withLock { results in
      for (block, result) in zip(work.blocks, results) { sums[block.tensor]?.add(result) }
    }
    return sums
  }
}

/// Accumulates blocks on one core.
private struct BlockSummer {
  private var bins: [UInt32]?

  init(histograms: Bool) {
    bins = histograms ? [UInt32](repeating: 0, count: Int(SDK_HISTOGRAM_BINS)) : nil
  }

  mutating func statistics(
    of bytes: UnsafeRawBufferPointer, _ kind: NumberKind
  ) -> TensorStatistics {
    switch kind {
    case .number(let type):
      var result = sdk_statistics()
      let count = bytes.count / sdk_number_size(type)
      guard bins != nil else {
        sdk_statistics_of(bytes.baseAddress, type, count, &result, nil)
        return TensorStatistics(result)
      }
      var bins = self.bins.take() ?? []
      for index in bins.indices { bins[index] = 0 }
      sdk_statistics_of(bytes.baseAddress, type, count, &result, &bins)
      var statistics = TensorStatistics(result)
      statistics.histogram = ValueHistogram(counts: bins)
      self.bins = bins
      return statistics
    case .table(let table):
      var counts = [Int](repeating: 0, count: 256)
      sdk_count_bytes(bytes.baseAddress, bytes.count, &counts)
      return TensorStatistics(table.counts(of: counts), hasHistogram: bins != nil)
    }
  }
}

extension TensorStatistics {
  fileprivate init(_ result: sdk_statistics) {
    count = result.count
    finite = result.finite
    zeros = result.zeros
    nans = result.nans
    infinities = result.infinities
    f16Overflows = result.f16_overflows
    f16Underflows = result.f16_underflows
    centre = result.mean
    square = result.square
    extremes = finite > 0 ? result.minimum...result.maximum : nil
  }

  /// The statistics of values with their counts.
  fileprivate init(_ values: [(value: ByteTable.Value, count: Int)], hasHistogram: Bool) {
    var bins = [UInt32](repeating: 0, count: Int(SDK_HISTOGRAM_BINS))
    for (value, count) in values where count > 0 {
      var same = TensorStatistics()
      same.count = count
      let number = value.number
      if number.isNaN {
        same.nans = count
      } else if number.isInfinite {
        same.infinities = count
      } else {
        same.finite = count
        same.centre = number
        same.extremes = number...number
        if number == 0 { same.zeros = count }
        if value.isFloatingPoint {
          if number.magnitude >= 65520 { same.f16Overflows = count }
          if number != 0, number.magnitude <= 0x1p-25 { same.f16Underflows = count }
        }
        bins[Int(Float(number).bitPattern >> 19)] += UInt32(clamping: count)
      }
      add(same)
    }
    if hasHistogram { histogram = ValueHistogram(counts: bins) }
  }
}
