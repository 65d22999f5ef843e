/// An input or output of a graph: real numbers or token ids with their shape.
///
/// Images are `[batch, channels, height, width]`, as in the graph.
public struct Value: Sendable, Hashable {
  /// The numbers, the last dimension varying fastest.
  public enum Elements: Sendable, Hashable {
    case reals([Float])
    case integers([Int32])
  }

  /// The size of each axis, the slowest first.
  public let shape: [Int]
  /// The elements, row by row.
  public let elements: Elements

  /// Real numbers; as many as the shape says.
  public init(_ reals: [Float], shape: [Int]) {
    precondition(reals.count == shape.reduce(1, *), "as many numbers as the shape says")
    self.shape = shape
    elements = .reals(reals)
  }

  /// Token ids; as many as the shape says.
  public init(ids: [Int32], shape: [Int]) {
    precondition(ids.count == shape.reduce(1, *), "as many ids as the shape says")
    self.shape = shape
    elements = .integers(ids)
  }

  /// The real numbers; empty if the value contains ids.
  public var reals: [Float] {
    switch elements {
    case .reals(let values): values
    case .integers: []
    }
  }
}
