/// Where noise comes from: a generator whose state goes on from draw to draw.
///
/// One call stands for one tensor, because some generators draw a tensor differently according
/// to its element count.
public protocol RandomSource: Sendable {
  /// Draws `count` values of mean 0 and standard deviation 1, in the element order of a
  /// contiguous tensor.
  mutating func normal(count: Int) -> [Float]
}
