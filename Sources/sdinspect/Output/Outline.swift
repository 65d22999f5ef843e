import Checkpoint
import ModelFormats
import ModelGraph
import Terminal

/// Layers or tensors as a tree of their names, with sums per branch.
struct Outline {
  /// The part of the name below the parent's.
  var label: String
  /// The kind of a leaf: an operation, or a tensor's type.
  var kind: String
  /// The shape of the output or tensor; for a branch, of its last leaf.
  var shape: String
  var parameters: Int
  var macs = 0
  var bytes: Int
  /// Bytes of the weights in the file.
  var weightBytes = 0
  /// The number of identical siblings that this node represents; its figures are their totals.
  var copies = 1
  var children: [Outline] = []

  /// The tree of a network's layers.
  ///
  /// - Parameter weightBytes: by the name of the layer.
  init(_ costs: [LayerCost], weightBytes: [String: Int]) {
    self.init(
      leaves: costs.map { cost in
        var leaf = Outline(
          label: cost.name, kind: Self.kind(cost), shape: Shape(cost.outputShape).description,
          parameters: cost.parameters, macs: cost.macs, bytes: cost.activationBytes)
        leaf.weightBytes = weightBytes[cost.name] ?? 0
        return leaf
      })
  }

  /// The operation; masked attention is told from full attention.
  private static func kind(_ cost: LayerCost) -> String {
    cost.isCausal == true ? cost.kind + ", causal" : cost.kind
  }

  /// The tree of tensors known only by name.
  init(_ tensors: [Tensor]) {
    self.init(
      leaves: tensors.map { tensor in
        Outline(
          label: tensor.displayName, kind: tensor.dtype.rawValue,
          shape: tensor.shape.description, parameters: tensor.elementCount,
          bytes: tensor.byteCount)
      })
  }

  private init(
    label: String, kind: String, shape: String, parameters: Int, macs: Int = 0, bytes: Int
  ) {
    self.label = label
    self.kind = kind
    self.shape = shape
    self.parameters = parameters
    self.macs = macs
    self.bytes = bytes
  }

  /// - Parameter leaves: leaves with full names as labels.
  private init(leaves: [Outline]) {
    let builder = Builder()
    for leaf in leaves {
      var place = builder
      for part in LayerTree.parts(leaf.label) { place = place.child(part) }
      place.leaves.append(leaf)
    }
    self = builder.outline(label: "")
  }

  /// A branch under construction; children are in order of first appearance.
  private final class Builder {
    var leaves: [Outline] = []
    private var children: [(label: String, builder: Builder)] = []
    private var index: [String: Int] = [:]

    func child(_ label: String) -> Builder {
      if let position = index[label] { return children[position].builder }
      index[label] = children.count
      children.append((label, Builder()))
      return children[children.count - 1].builder
    }

    func outline(label: String) -> Outline {
      if children.isEmpty, leaves.count == 1 {
        var leaf = leaves[0]
        leaf.label = label
        return leaf
      }
      var branch = Outline(label: label, kind: "", shape: "", parameters: 0, bytes: 0)
      branch.children = children.map { $0.builder.outline(label: $0.label) }
      // A layer with layers below it, such as an attention with its projections.
      for leaf in leaves {
        var own = leaf
        own.label = "(\(leaf.kind))"
        branch.children.append(own)
      }
      // A branch with one child is replaced by it.
      if branch.children.count == 1, !label.isEmpty {
        var only = branch.children[0]
        only.label = label + "." + only.label
        return only
      }
      for child in branch.children {
        branch.parameters = branch.parameters &+ child.parameters
        branch.macs = sum(branch.macs, child.macs)
        branch.bytes = sum(branch.bytes, child.bytes)
        branch.weightBytes = sum(branch.weightBytes, child.weightBytes)
      }
      branch.shape = branch.children.last?.shape ?? ""
      return branch
    }

    private func sum(_ left: Int, _ right: Int) -> Int {
      let (sum, overflow) = left.addingReportingOverflow(right)
      return overflow ? .max : sum
    }
  }
}

extension Outline {
  /// The tree with identical, consecutively numbered siblings folded.
  func folded() -> Outline {
    var result = self
    result.children = []
    var isTaken = [Bool](repeating: false, count: children.count)
    let folded = children.map { $0.folded() }
    var positions: [String: [Int]] = [:]
    for (position, child) in folded.enumerated() {
      positions[child.label, default: []].append(position)
    }
    for position in folded.indices where !isTaken[position] {
      var child = folded[position]
      guard let numbered = Numbered(child.label) else {
        result.children.append(child)
        continue
      }
      var next = numbered.number + 1
      while let twin = positions[numbered.label("\(next)")]?.first(where: { other in
        !isTaken[other] && folded[other].isLike(folded[position])
      }) {
        isTaken[twin] = true
        next += 1
      }
      let copies = next - numbered.number
      if copies > 1 {
        child = child.times(copies)
        child.label = numbered.label("\(numbered.number)–\(next - 1)")
        child.copies = copies
      }
      result.children.append(child)
    }
    return result
  }

  /// Whether everything except the label is equal.
  private func isLike(_ other: Outline) -> Bool {
    kind == other.kind && shape == other.shape && parameters == other.parameters
      && macs == other.macs && bytes == other.bytes && weightBytes == other.weightBytes
      && children.count == other.children.count
      && zip(children, other.children).allSatisfy { $0.label == $1.label && $0.isLike($1) }
  }

  private func times(_ count: Int) -> Outline {
    func product(_ value: Int) -> Int {
      let (product, overflow) = value.multipliedReportingOverflow(by: count)
      return overflow ? .max : product
    }
    var result = self
    result.parameters = product(parameters)
    result.macs = product(macs)
    result.bytes = product(bytes)
    result.weightBytes = product(weightBytes)
    result.children = children.map { $0.times(count) }
    return result
  }

  /// A label with its last number separated: `block.2.weight`.
  private struct Numbered {
    let number: Int
    private let before: String
    private let after: String

    init?(_ label: String) {
      let parts = label.split(separator: ".", omittingEmptySubsequences: false)
      guard let position = parts.lastIndex(where: { !$0.isEmpty && $0.allSatisfy(\.isNumber) }),
        let number = Int(parts[position]), number < 1_000_000
      else { return nil }
      self.number = number
      before = parts[..<position].map { $0 + "." }.joined()
      after = parts[(position + 1)...].map { "." + $0 }.joined()
    }

    func label(_ number: String) -> String { before + number + after }
  }

  /// The branches and leaves down to a depth, each with its tree lines.
  func lines(depth: Int) -> [(lead: String, node: Outline)] {
    var result: [(String, Outline)] = []
    func visit(_ node: Outline, _ lead: String, _ depth: Int) {
      guard depth > 0 else { return }
      for (position, child) in node.children.enumerated() {
        let isLast = position == node.children.count - 1
        result.append((lead + (isLast ? "└─ " : "├─ "), child))
        visit(child, lead + (isLast ? "   " : "│  "), depth - 1)
      }
    }
    visit(self, "", depth)
    return result
  }
}
