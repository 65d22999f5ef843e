import OrderedJSON

/// A value of a pickle; containers and objects are nodes of its graph.
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

/// A container or object of a pickle.
package struct PickleNode: Sendable {
  package enum Kind: Sendable {
    case tuple
    case list
    case dictionary
    case set
    /// An integer beyond 64 bits, in little-endian two's complement.
    case bigInteger([UInt8])
    case complex(Double, Double)
    /// A class or function, by its name alone.
    case global(module: String, name: String)
    /// What a call would have returned; nothing was called.
    case call(PickleValue, arguments: PickleValue)
    /// What making an instance of a class would have returned.
    case instance(PickleValue, arguments: PickleValue)
    /// Something kept outside the pickle, by its identifier.
    case persistent(PickleValue)
  }

  package let kind: Kind
  /// Where the instruction that made it stands in the file.
  package var offset = 0
  /// Elements in order: of a tuple, list or set, or appended to an object.
  package var items: [PickleValue] = []
  /// Keys and values in turn: of a dictionary, or set in an object.
  package var pairs: [PickleValue] = []
  /// What BUILD gave the object.
  package var states: [PickleValue] = []
}

/// The outcome of a pickle: a graph of values, in which what Python would have called or
/// imported is kept as data.
///
/// The graph may share nodes and hold cycles. Nodes lie in one array and refer to one another by
/// index, so that neither costs more than its bytes.
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
  /// Each once, in the order of their first mention, with its offset in the file.
  package let globals: [(global: Global, offset: Int)]
  /// Bytes from the first to STOP.
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
