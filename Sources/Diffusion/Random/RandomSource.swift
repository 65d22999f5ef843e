/// A random number generator (RNG) for noise.
///
/// Each call draws one tensor: in some generators, the numbers depend on the tensor's element
/// count.
package protocol RandomSource: Sendable {
  /// Draws `count` values with mean 0 and standard deviation 1, in the element order of a
  /// contiguous tensor.
  mutating func normal(count: Int) -> [Float]
}
