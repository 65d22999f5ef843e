import ModelFormats
import ModelGraph
import OrderedJSON

/// How two checkpoints differ, tensor by tensor, whatever their formats and namings.
///
/// Tensors are paired by component and published name, so that a single-file checkpoint can be
/// held against a repository.
public struct CheckpointDifference: Sendable {
  /// A tensor that only one of the two has.
  public struct Entry: Sendable {
    /// The component that has it.
    public let component: ComponentName
    /// The published name.
    public let name: String
    /// The tensor, under the name in its file.
    public let tensor: Tensor
  }

  /// A tensor that both have.
  public struct Pair: Sendable {
    /// The component that has both.
    public let component: ComponentName
    /// The published name.
    public let name: String
    /// The tensor of the first checkpoint.
    public let left: Tensor
    /// The tensor of the second checkpoint.
    public let right: Tensor
    /// How the values differ; nil where the shapes say that they are not the same values.
    public let comparison: TensorComparison?

    /// Whether the shapes differ in more than dimensions of one, as of a matrix that is held as
    /// a 1x1 convolution.
    public var isReshaped: Bool {
      CheckpointDifference.core(left.shape) != CheckpointDifference.core(right.shape)
    }
    /// Whether the dtypes differ.
    public var isRetyped: Bool { left.dtype != right.dtype }
    /// Whether both hold the same values of the same type, though perhaps in another shape.
    public var isSame: Bool {
      guard let comparison, !isReshaped, !isRetyped else { return false }
      return comparison.isIdentical
    }
    /// Whether they hold the same values, but as `[512, 512, 1, 1]` and `[512, 512]`.
    public var isSameInOtherShape: Bool { isSame && left.shape != right.shape }
  }

  /// The pairs and lone tensors of one component.
  public struct Part: Sendable {
    /// The component.
    public let name: ComponentName
    /// Tensors of the second checkpoint only.
    public internal(set) var added: [Entry] = []
    /// Tensors of the first checkpoint only.
    public internal(set) var removed: [Entry] = []
    /// Tensors of both.
    public internal(set) var pairs: [Pair] = []

    /// Tensors of both that differ.
    public var changed: [Pair] { pairs.filter { !$0.isSame } }
    /// Whether nothing differs.
    public var isSame: Bool { added.isEmpty && removed.isEmpty && pairs.allSatisfy(\.isSame) }
  }

  /// In the order of the first checkpoint, then what only the second has.
  public let parts: [Part]
  /// Whether nothing differs in any component.
  public var isSame: Bool { parts.allSatisfy(\.isSame) }
  /// The bytes of all values that were compared, of both sides.
  public let bytesCompared: Int

  /// Compares every tensor, on all cores, a block at a time.
  ///
  /// - Parameters:
  ///   - left: the components of the one side, the older.
  ///   - progress: called now and then, on the caller's thread, with the share done.
  /// - Throws: ``FormatError`` where reading fails.
  public init(
    _ left: [Component], _ right: [Component], _ progress: (Double) -> Void = { _ in }
  ) throws(FormatError) {
    var parts: [Part] = []
    var pairs: [(part: Int, name: String, left: Tensor, right: Tensor)] = []
    for (component, other) in CheckpointDifference.matched(left, right) {
      guard let name = component?.name ?? other?.name else { continue }
      var part = Part(name: name)
      let olds = CheckpointDifference.named(component)
      let news = CheckpointDifference.named(other)
      let index = Dictionary(
        news.map { (ExactName($0.name), $0.tensor) }, uniquingKeysWith: { first, _ in first })
      var found: Set<ExactName> = []
      for (key, tensor) in olds {
        if let partner = index[ExactName(key)] {
          found.insert(ExactName(key))
          pairs.append((parts.count, key, tensor, partner))
        } else {
          part.removed.append(Entry(component: name, name: key, tensor: tensor))
        }
      }
      for (key, tensor) in news where !found.contains(ExactName(key)) {
        part.added.append(Entry(component: name, name: key, tensor: tensor))
      }
      parts.append(part)
    }
    let comparable = pairs.filter { pair in
      CheckpointDifference.core(pair.left.shape) == CheckpointDifference.core(pair.right.shape)
    }
    bytesCompared = comparable.reduce(0) { $0 + $1.left.byteCount + $1.right.byteCount }
    let comparisons = try TensorComparison.of(comparable.map { ($0.left, $0.right) }, progress)
    var next = comparisons.makeIterator()
    for pair in pairs {
      let isComparable =
        CheckpointDifference.core(pair.left.shape) == CheckpointDifference.core(pair.right.shape)
      parts[pair.part].pairs.append(
        Pair(
          component: parts[pair.part].name, name: pair.name, left: pair.left, right: pair.right,
          comparison: isComparable ? next.next() : nil))
    }
    self.parts = parts
  }

  /// The dimensions other than one, which alone decide what the values are.
  fileprivate static func core(_ shape: Shape) -> [Int] { shape.dimensions.filter { $0 != 1 } }

  /// Components of one name; and where either side is a single one, these two.
  private static func matched(
    _ left: [Component], _ right: [Component]
  ) -> [(Component?, Component?)] {
    if left.count == 1, right.count == 1 { return [(left[0], right[0])] }
    var result: [(Component?, Component?)] = left.map { component in
      (component, right.first { $0.name == component.name })
    }
    result += right.filter { component in !left.contains { $0.name == component.name } }
      .map { (nil, $0) }
    return result
  }

  /// A component's weights under their published names, times their scales where they have some,
  /// taken apart where several parameters share one; where two would have one name the second keeps its own.
  private static func named(_ component: Component?) -> [(name: String, tensor: Tensor)] {
    guard let component else { return [] }
    var taken: Set<ExactName> = []
    // A scale that does not fit leaves values as they are.
    let weights = component.weights.map { tensor in
      component.scales.hasScale(tensor.name)
        ? (try? component.scales.decoded(tensor)) ?? tensor : tensor
    }
    return weights.flatMap(component.pieces).map { parameter, tensor in
      // What training and saving put before a name does not tell tensors apart.
      let name = parameter?.name ?? component.bareName(of: tensor)
      return (taken.insert(ExactName(name)).inserted ? name : tensor.name, tensor)
    }
  }
}
