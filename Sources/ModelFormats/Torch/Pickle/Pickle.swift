import OrderedJSON

/// A value in a pickle; containers and objects are nodes of its graph.
package enum PickleValue: Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case real(Double)
  case string(String)
  case bytes([UInt8])
  /// An index into ``Pickle/nodes``.
  case node(Int)
}

/// A container or object in a pickle.
package struct PickleNode: Sendable {
  package enum Kind: Sendable {
    case tuple
    case list
    case dictionary
    case set
    /// An integer beyond 64 bits, in little-endian two's complement.
    case bigInteger([UInt8])
    case complex(Double, Double)
    /// A class or function, only by name.
    case global(module: String, name: String)
    /// The result of a call; nothing was called.
    case call(PickleValue, arguments: PickleValue)
    /// The instance that a class would have created.
    case instance(PickleValue, arguments: PickleValue)
    /// An object outside the pickle, by persistent ID.
    case persistent(PickleValue)
  }

  package let kind: Kind
  /// The file offset of the opcode that created it.
  package var offset = 0
  /// Elements in order: of a tuple, list or set, or appended to an object.
  package var items: [PickleValue] = []
  /// Alternating keys and values: of a dictionary, or set in an object.
  package var pairs: [PickleValue] = []
  /// States set by BUILD.
  package var states: [PickleValue] = []
}

/// The result of a pickle: a graph of values, in which Python's calls and imports are kept as data.
///
/// The graph may share nodes and have cycles. Nodes are in one array and refer to each other by
/// index, so neither needs extra memory.
package struct Pickle: Sendable {
  /// A class or function that the pickle names.
  package struct Global: Sendable, Hashable {
    private let exactModule: ExactName
    private let exactName: ExactName

    package init(module: String, name: String) {
      exactModule = ExactName(module)
      exactName = ExactName(name)
    }

    package var module: String { exactModule.text }
    package var name: String { exactName.text }

    package var spoken: String { "\(module).\(name)" }
  }

  package let root: PickleValue
  package let nodes: [PickleNode]
  /// Each once, in order of first appearance, with its file offset.
  package let globals: [(global: Global, offset: Int)]
  /// Bytes from the first up to and including STOP.
  package let byteCount: Int

  package func node(_ value: PickleValue) -> PickleNode? {
    if case .node(let index) = value { nodes[index] } else { nil }
  }

  /// The elements of a tuple; nil for anything else.
  package func tuple(_ value: PickleValue) -> [PickleValue]? {
    guard let node = node(value), case .tuple = node.kind else { return nil }
    return node.items
  }

  package func global(_ value: PickleValue) -> Global? {
    guard let node = node(value), case .global(let module, let name) = node.kind else {
      return nil
    }
    return Global(module: module, name: name)
  }
}
