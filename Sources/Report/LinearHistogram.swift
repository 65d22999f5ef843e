import Checkpoint
import ModelFormats
import OrderedJSON

/// Counts of values in bins of equal width, as the page draws them.
struct LinearHistogram: Sendable, Hashable {
  let range: ClosedRange<Double>
  /// Values below and above the range.
  let below: Int
  let above: Int
  let counts: [Int]

  /// The values inside `range`, and how many there are on either side.
  init(_ histogram: ValueHistogram, bins: Int, in range: ClosedRange<Double>) {
    self.range = range
    counts = histogram.linear(bins: bins, in: range).map { Int($0.rounded()) }
    var below = 0
    var above = 0
    for bin in histogram.bins {
      let middle = (bin.inner + bin.outer) / 2
      if max(bin.inner, bin.outer) <= range.lowerBound
        || middle < range.lowerBound && range.lowerBound < range.upperBound
      {
        below += bin.count
      } else if min(bin.inner, bin.outer) >= range.upperBound || middle > range.upperBound {
        above += bin.count
      }
    }
    self.below = below
    self.above = above
  }

  /// The bulk of a tensor's values: all of them, or those within four deviations of the mean, as
  /// a few outliers would push the others into one bin. Nil where all values are one or none is
  /// finite.
  init?(_ statistics: TensorStatistics) {
    guard let histogram = statistics.histogram, let mean = statistics.mean,
      let deviation = statistics.standardDeviation, deviation.isFinite,
      let minimum = statistics.minimum, let maximum = statistics.maximum, minimum < maximum
    else { return nil }
    let lower = max(minimum, mean - 4 * deviation)
    let upper = min(maximum, mean + 4 * deviation)
    guard lower < upper, (upper - lower).isFinite else { return nil }
    self.init(histogram, bins: 64, in: lower...upper)
  }

  /// `[lower, upper, below, above, counts…]`.
  var json: JSON {
    .array(
      [CompactNumber.json(range.lowerBound), CompactNumber.json(range.upperBound)]
        + ([below, above] + counts).map { .integer($0) })
  }
}

/// How the learned values of each component are spread, over one range for all of them.
struct ComponentDistributions {
  /// By component; nil where there is nothing to draw.
  let histograms: [LinearHistogram?]

  init(_ checkpoint: ModelCheckpoint, _ statistics: [[TensorStatistics?]]) {
    let totals = zip(checkpoint.components, statistics).map { component, statistics in
      var total = TensorStatistics()
      for (tensor, statistics) in zip(component.tensors, statistics)
      where tensor.dtype.isFloatingPoint {
        if let statistics { total.add(statistics) }
      }
      return total.histogram
    }
    // Nearly all values of every component: one in a thousand at either end is left out.
    let reach = totals.compactMap { histogram -> Double? in
      guard let low = histogram?.quantile(0.001), let high = histogram?.quantile(0.999) else {
        return nil
      }
      return max(low.magnitude, high.magnitude)
    }.max()
    guard let reach, reach > 0, reach.isFinite else {
      histograms = checkpoint.components.map { _ in nil }
      return
    }
    histograms = totals.map { histogram in
      histogram.flatMap { histogram in
        histogram.count == 0 ? nil : LinearHistogram(histogram, bins: 160, in: -reach...reach)
      }
    }
  }
}
