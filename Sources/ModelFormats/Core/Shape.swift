/// The dimensions of a tensor, outermost first; a scalar has no dimensions and one element.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  /// The size of each axis, slowest first.
  public let dimensions: [Int]

  public init(_ dimensions: [Int]) {
    self.dimensions = dimensions
  }

  public init(arrayLiteral elements: Int...) {
    self.init(elements)
  }

  /// The number of axes.
  public var rank: Int { dimensions.count }

  /// The size of an axis.
  public subscript(axis: Int) -> Int { dimensions[axis] }

  /// The product of the dimensions; nil if one is negative or the product overflows `Int`.
  public var elementCount: Int? {
    var count = 1
    var empty = false
    for dimension in dimensions {
      guard dimension >= 0 else { return nil }
      if dimension == 0 {
        empty = true
        continue
      }
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow else { return nil }
      count = product
    }
    return empty ? 0 : count
  }

  /// The bytes of contiguous elements of `dtype`; nil if the size overflows `Int` or, for packed
  /// types, is not a whole number of bytes.
  public func byteCount(of dtype: DType) -> Int? {
    guard let elementCount else { return nil }
    let (bits, overflow) = elementCount.multipliedReportingOverflow(by: dtype.bitWidth)
    guard !overflow, bits % 8 == 0 else { return nil }
    return bits / 8
  }

  /// Element strides of a contiguous tensor of this shape.
  public var contiguousStrides: [Int] {
    var strides = [Int](repeating: 1, count: rank)
    for axis in stride(from: rank - 2, through: 0, by: -1) {
      strides[axis] = strides[axis + 1] &* max(1, dimensions[axis + 1])
    }
    return strides
  }

  /// `[320, 4, 3, 3]`
  public var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }
}
