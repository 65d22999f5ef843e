import ModelFormats
import ModelGraph
import OrderedJSON

/// The differences of two checkpoints, tensor by tensor, independent of formats and namings.
///
/// Tensors are paired by component and published name, so a single file can be compared with a
/// repository.
public struct CheckpointDifference: Sendable {
  /// A tensor of only one side.
  public struct Entry: Sendable {
    /// The component that has it.
    public let component: ComponentName
    /// The published name.
    public let name: String
    /// The tensor, under the name in its file.
    public let tensor: Tensor
  }

  /// A tensor of both sides.
  public struct Pair: Sendable {
    /// The component that has both.
    public let component: ComponentName
    /// The published name.
    public let name: String
    /// The tensor of the first checkpoint.
    public let left: Tensor
    /// The tensor of the second checkpoint.
    public let right: Tensor
    /// The difference of the values; nil if the shapes rule out a comparison.
    public let comparison: TensorComparison?

    /// Whether the shapes differ beyond dimensions of size 1, such as of a matrix stored as a 1x1
    /// convolution.
    public var isReshaped: Bool {
      CheckpointDifference.core(left.shape) != CheckpointDifference.core(right.shape)
    }
    /// Whether the dtypes differ.
    public var isRetyped: Bool { left.dtype != right.dtype }
    /// Whether both have the same values and dtype, perhaps in another shape.
    public var isSame: Bool {
      guard let comparison, !isReshaped, !isRetyped else { return false }
      return comparison.isIdentical
    }
    /// Whether they have the same values, but as `[512, 512, 1, 1]` and `[512, 512]`.
    public var isSameInOtherShape: Bool { isSame && left.shape != right.shape }
  }

  /// The paired and unpaired tensors of one component.
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

  /// In the order of the first checkpoint, then tensors only in the second.
  public let parts: [Part]
  /// Whether nothing differs in any component.
  public var isSame: Bool { parts.allSatisfy(\.isSame) }
  /// The bytes of all values that were compared, of both sides.
  public let bytesCompared: Int

  /// Compares every tensor, on all cores, a block at a time.
  ///
  /// - Parameters:
  ///   - left: the components of one side, the older.
  ///   - progress: called occasionally, on the caller's thread, with the fraction done.
  /// - Throws: ``FormatError`` if reading fails.
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

  /// The dimensions other than 1, which alone matter.
  fileprivate static func core(_ shape: Shape) -> [Int] { shape.dimensions.filter { $0 != 1 } }

  /// Components with equal names; if either side has a single component, those two.
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

  /// A component's weights under their published names, multiplied by their scales if any, and
  /// split where several parameters share a tensor; if two would have one name, the second keeps
  /// its own.
  private static func named(_ component: Component?) -> [(name: String, tensor: Tensor)] {
    guard let component else { return [] }
    var taken: Set<ExactName> = []
    // If a scale does not fit, values are unchanged.
    let weights = component.weights.map { tensor in
      component.scales.hasScale(tensor.name)
        ? (try? component.scales.decoded(tensor)) ?? tensor : tensor
    }
    return weights.flatMap(component.pieces).map { parameter, tensor in
      // Wrapper prefixes do not distinguish tensors.
      let name = parameter?.name ?? component.bareName(of: tensor)
      return (taken.insert(ExactName(name)).inserted ? name : tensor.name, tensor)
    }
  }
}
