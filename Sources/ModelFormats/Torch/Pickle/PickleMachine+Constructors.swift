extension PickleMachine {
  /// The result of a call: a container if the callable is a known harmless constructor, otherwise a
  /// node that records the call.
  mutating func call(
    _ callable: PickleValue, _ arguments: PickleValue
  ) throws(FormatError) -> PickleValue {
    if let value = try construct(callable, arguments) { return value }
    return try makeNode(PickleNode(kind: .call(callable, arguments: arguments)))
  }

  /// The result of creating an instance, as for ``call(_:_:)``.
  mutating func instance(
    of type: PickleValue, _ arguments: PickleValue
  ) throws(FormatError) -> PickleValue {
    if let value = try construct(type, arguments) { return value }
    return try makeNode(PickleNode(kind: .instance(type, arguments: arguments)))
  }

  private mutating func construct(
    _ callable: PickleValue, _ arguments: PickleValue
  ) throws(FormatError) -> PickleValue? {
    guard case .node(let callableIndex) = callable,
      case .global(let module, let name) = nodes[callableIndex].kind,
      case .node(let argumentsIndex) = arguments
    else { return nil }
    let arguments = nodes[argumentsIndex].items
    switch (module, name) {
    case ("collections", "OrderedDict"), ("collections", "Counter"), ("builtins", "dict"),
      ("__builtin__", "dict"):
      return try dictionary(from: arguments.first)
    case ("collections", "defaultdict"):
      // The first argument is the factory for missing values.
      return try dictionary(from: arguments.dropFirst().first)
    case ("builtins", "set"), ("__builtin__", "set"), ("builtins", "frozenset"),
      ("__builtin__", "frozenset"):
      return try sequence(.set, from: arguments.first)
    case ("copyreg", "__newobj__"), ("copy_reg", "__newobj__"), ("copyreg", "__newobj_ex__"),
      ("copy_reg", "__newobj_ex__"):
      return try newObject(arguments, hasKeywords: name == "__newobj_ex__")
    case ("builtins", "list"), ("__builtin__", "list"), ("collections", "deque"):
      return try sequence(.list, from: arguments.first)
    case ("builtins", "tuple"), ("__builtin__", "tuple"):
      return try sequence(.tuple, from: arguments.first)
    case ("builtins", "bytearray"), ("__builtin__", "bytearray"), ("builtins", "bytes"),
      ("__builtin__", "bytes"):
      return try bytes(from: arguments)
    case ("_codecs", "encode"):
      return try bytes(from: arguments)
    case ("builtins", "complex"), ("__builtin__", "complex"):
      guard arguments.count == 2, let real = number(arguments[0]),
        let imaginary = number(arguments[1])
      else { return nil }
      return try makeNode(PickleNode(kind: .complex(real, imaginary)))
    default:
      return nil
    }
  }

  /// The result of NEWOBJ and NEWOBJ_EX, which older protocols write as a call.
  private mutating func newObject(
    _ arguments: [PickleValue], hasKeywords: Bool
  ) throws(FormatError) -> PickleValue? {
    guard let type = arguments.first else { return nil }
    guard hasKeywords else {
      try spend(Cost.item * arguments.count)
      let rest = try makeNode(PickleNode(kind: .tuple, items: Array(arguments.dropFirst())))
      return try instance(of: type, rest)
    }
    guard arguments.count == 3, case .node(let index) = arguments[1],
      case .tuple = nodes[index].kind
    else { return nil }
    return try instance(of: type, arguments[1], keywords: arguments[2])
  }

  /// An instance created with keyword arguments, which are kept as its first state.
  mutating func instance(
    of type: PickleValue, _ arguments: PickleValue, keywords: PickleValue
  ) throws(FormatError) -> PickleValue {
    let value = try instance(of: type, arguments)
    guard case .node(let index) = value, case .node(let keywordsIndex) = keywords,
      !nodes[keywordsIndex].pairs.isEmpty
    else { return value }
    switch nodes[index].kind {
    case .call, .instance, .dictionary, .list, .set:
      try spend(Cost.item)
      nodes[index].states.append(keywords)
    default: break
    }
    return value
  }

  /// A new dictionary: empty, from another dictionary, or from a sequence of pairs (as Python 2
  /// pickles an `OrderedDict`); nil for other sources.
  private mutating func dictionary(from source: PickleValue?) throws(FormatError) -> PickleValue? {
    var pairs: [PickleValue] = []
    if let source {
      guard case .node(let index) = source else { return nil }
      switch nodes[index].kind {
      case .dictionary:
        try spend(Cost.member * nodes[index].pairs.count)
        pairs = nodes[index].pairs
      case .list, .tuple:
        try spend(2 * Cost.member * nodes[index].items.count)
        for item in nodes[index].items {
          guard case .node(let pair) = item, nodes[pair].items.count == 2 else { return nil }
          pairs += nodes[pair].items
        }
      default: return nil
      }
    }
    return try makeNode(PickleNode(kind: .dictionary, pairs: pairs))
  }

  private mutating func sequence(
    _ kind: PickleNode.Kind, from source: PickleValue?
  ) throws(FormatError) -> PickleValue? {
    guard let source else { return try makeNode(PickleNode(kind: kind)) }
    guard case .node(let index) = source else { return nil }
    switch nodes[index].kind {
    case .list, .tuple, .set:
      try spend(Cost.item * nodes[index].items.count)
      return try makeNode(PickleNode(kind: kind, items: nodes[index].items))
    default: return nil
    }
  }

  /// The contents of bytes, or of a Latin-1 string, which is how protocols before 3 pickle bytes.
  private mutating func bytes(from arguments: [PickleValue]) throws(FormatError) -> PickleValue? {
    switch arguments.first {
    case nil: return .bytes([])
    case .bytes(let bytes): return .bytes(bytes)
    case .string(let text):
      try spend(text.utf8.count)
      guard case .string(let encoding)? = arguments.dropFirst().first,
        ["latin1", "latin-1"].contains(encoding)
      else { return .bytes(Array(text.utf8)) }
      var bytes: [UInt8] = []
      for scalar in text.unicodeScalars {
        guard scalar.value < 256 else { return nil }
        bytes.append(UInt8(truncatingIfNeeded: scalar.value))
      }
      return .bytes(bytes)
    default: return nil
    }
  }

  private func number(_ value: PickleValue) -> Double? {
    switch value {
    case .integer(let value): Double(value)
    case .real(let value): value
    default: nil
    }
  }
}
