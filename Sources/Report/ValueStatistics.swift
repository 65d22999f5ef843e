import OrderedJSON

/// What the values of one tensor are like, as a report shows it.
public struct ValueStatistics: Sendable, Hashable {
  /// Counts of finite values in equal intervals.
  public struct Histogram: Sendable, Hashable {
    public let lower: Double
    public let upper: Double
    public let counts: [Int]
    /// Finite values below `lower` and above `upper`.
    public let below: Int
    public let above: Int

    public init(lower: Double, upper: Double, counts: [Int], below: Int = 0, above: Int = 0) {
      self.lower = lower
      self.upper = upper
      self.counts = counts
      self.below = below
      self.above = above
    }
  }

  /// Of the finite values; NaN where there are none.
  public let minimum: Double
  public let maximum: Double
  public let mean: Double
  public let deviation: Double
  public let zeros: Int
  public let nans: Int
  public let infinities: Int
  public let histogram: Histogram?

  public init(
    minimum: Double, maximum: Double, mean: Double, deviation: Double, zeros: Int, nans: Int,
    infinities: Int, histogram: Histogram?
  ) {
    self.minimum = minimum
    self.maximum = maximum
    self.mean = mean
    self.deviation = deviation
    self.zeros = zeros
    self.nans = nans
    self.infinities = infinities
    self.histogram = histogram
  }

  /// `[min, max, mean, deviation, zeros, NaN, infinite, [lower, upper, below, above, counts…]]`.
  var json: JSON {
    .array(
      [minimum, maximum, mean, deviation].map(CompactNumber.json)
        + [.integer(zeros), .integer(nans), .integer(infinities)]
        + (histogram.map { [ValueStatistics.json($0)] } ?? []))
  }

  private static func json(_ histogram: Histogram) -> JSON {
    .array(
      [histogram.lower, histogram.upper].map(CompactNumber.json)
        + [.integer(histogram.below), .integer(histogram.above)]
        + histogram.counts.map { .integer($0) })
  }
}
