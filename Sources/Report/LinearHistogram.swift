import Checkpoint
import ModelFormats
import OrderedJSON

/// Counts of values in bins of equal width, for the page.
struct LinearHistogram: Sendable, Hashable {
  let range: ClosedRange<Double>
  /// Values below and above the range.
  let below: Int
  let above: Int
  let counts: [Int]

  /// The values inside `range`, and the number on either side.
  ///
  /// - Parameter extremes: the extremes of all values. The part of a bin of `histogram` beyond them
  ///   is empty, so all its values count as inside.
  init(
    _ histogram: ValueHistogram, bins: Int, in range: ClosedRange<Double>,
    extremes: ClosedRange<Double>
  ) {
    self.range = range
    var inside = histogram.linear(bins: bins, in: range)
    var below = 0.0
    var above = 0.0
    for bin in histogram.bins {
      let low = min(bin.inner, bin.outer)
      let high = max(bin.inner, bin.outer)
      // The last bin of F32 has no end.
      guard (high - low).isFinite else { continue }
      let share = Double(bin.count) / (high - low)
      below += share * max(0, min(range.lowerBound, high) - low)
      above += share * max(0, high - max(range.upperBound, low))
    }
    if range.lowerBound <= extremes.lowerBound {
      inside[0] += below
      below = 0
    }
    if range.upperBound >= extremes.upperBound {
      inside[bins - 1] += above
      above = 0
    }
    // Rounds cumulative sums rather than bins, so that the total is exact.
    var sum = 0.0
    var counted = 0
    let whole = ([below] + inside + [above]).map { part in
      sum += part
      let count = Int(sum.rounded()) - counted
      counted += count
      return count
    }
    self.below = whole[0]
    self.above = whole[bins + 1]
    counts = Array(whole[1...bins])
  }

  /// The bulk of a tensor's values: all, or those within four deviations of the mean, because a few
  /// outliers would push the others into one bin. Nil if all values are equal or none is finite.
  init?(_ statistics: TensorStatistics) {
    guard let histogram = statistics.histogram, let mean = statistics.mean,
      let deviation = statistics.standardDeviation, deviation.isFinite,
      let minimum = statistics.minimum, let maximum = statistics.maximum, minimum < maximum
    else { return nil }
    let lower = max(minimum, mean - 4 * deviation)
    let upper = min(maximum, mean + 4 * deviation)
    guard lower < upper, (upper - lower).isFinite else { return nil }
    self.init(histogram, bins: 64, in: lower...upper, extremes: minimum...maximum)
  }

  /// `[lower, upper, below, above, counts…]`.
  var json: JSON {
    .array(
      [CompactNumber.json(range.lowerBound), CompactNumber.json(range.upperBound)]
        + ([below, above] + counts).map { .integer($0) })
  }
}

/// The distributions of each component's learned values, over one range for all.
struct ComponentDistributions {
  /// By component; nil if there is nothing to show.
  let histograms: [LinearHistogram?]

  init(_ checkpoint: ModelCheckpoint, _ statistics: [[TensorStatistics?]]) {
    let totals = zip(checkpoint.components, statistics).map { component, statistics in
      var total = TensorStatistics()
      for (tensor, statistics) in zip(component.tensors, statistics)
      where tensor.dtype.isFloatingPoint {
        if let statistics { total.add(statistics) }
      }
      return total
    }
    // Nearly all values of every component: without one in two hundred at either end.
    let reach = totals.compactMap { total -> Double? in
      guard let extremes = total.extremes else { return nil }
      guard let low = total.histogram?.quantile(0.005),
        let high = total.histogram?.quantile(0.995)
      else {
        return nil
      }
      return min(
        max(low.magnitude, high.magnitude),
        max(extremes.lowerBound.magnitude, extremes.upperBound.magnitude))
    }.max()
    guard let reach, reach > 0, reach.isFinite else {
      histograms = checkpoint.components.map { _ in nil }
      return
    }
    histograms = totals.map { total in
      guard let histogram = total.histogram, let extremes = total.extremes else { return nil }
      return LinearHistogram(histogram, bins: 160, in: -reach...reach, extremes: extremes)
    }
  }
}
