/// Interprets a pickle without executing anything: it builds a graph of data.
///
/// Calls of a few harmless constructors (`OrderedDict`, `set`, …) create containers; every other
/// call, import and object becomes a node that describes it. Containers are nodes, so a container
/// that is stored first and filled later keeps its identity.
///
/// Source: CPython's `pickle` module and PEP 307, 3154 and 574.
package struct PickleMachine {
  /// The limits of a pickle. An ordinary tensor needs about 60 opcodes and 2,300 bytes of memory.
  package struct Limits {
    package init() {}

    package var bytes = 256 << 20
    package var instructions = 4 << 20
    package var stack = 256 << 10
    /// Memory in bytes, as counted by ``Cost``; the bytes of strings come on top and are at most
    /// the pickle's size.
    package var memory = 40 << 20

    /// For the small pickles next to the object: a number, a list of keys.
    static let small: Limits = {
      var limits = Limits()
      limits.memory = 8 << 20
      return limits
    }()
  }

  /// Memory in bytes counted for parts of the graph, including room to grow.
  enum Cost {
    static let node = 100
    /// A value in a tuple or list that is created at once, and one that is appended.
    static let item = 28
    static let appended = 72
    /// A key or value; walking a dictionary builds an index of it.
    static let member = 160
    /// A memo value with the next index, and one with any other index.
    static let memo = 48
    static let sparseMemo = 200
    static let global = 240
    static let text = 48
  }

  let limits: Limits
  var stack: [PickleValue] = []
  var marks: [Int] = []
  var memo = Memo()
  var nodes: [PickleNode] = []
  var globals: [(global: Pickle.Global, offset: Int)] = []
  var knownGlobals: [Pickle.Global: Int] = [:]
  private var instructionCount = 0
  /// Memory used so far, in bytes.
  private var memory = 0
  /// The file offset of the current opcode.
  private(set) var offset: Int

  private init(limits: Limits, offset: Int) {
    self.limits = limits
    self.offset = offset
  }

  /// Interprets the pickle at the start of `bytes`, whose first byte is at `base` in the file.
  ///
  /// - Throws: ``FormatError`` with code `malformed`, `truncated` or `unsupported`.
  package static func run(
    _ bytes: RawSpan, base: Int, limits: Limits = Limits()
  ) throws(FormatError) -> Pickle {
    var machine = PickleMachine(limits: limits, offset: base)
    // Growing step by step would need twice the memory while copying.
    machine.nodes.reserveCapacity(min(bytes.byteCount / 2, limits.memory / Cost.node))
    var reader = ByteReader(
      bytes.extracting(0..<min(bytes.byteCount, limits.bytes)), base: base, what: "the pickle")
    return try machine.run(&reader)
  }

  private mutating func run(_ reader: inout ByteReader) throws(FormatError) -> Pickle {
    while true {
      offset = reader.offset
      instructionCount += 1
      guard instructionCount <= limits.instructions else {
        throw malformed("the pickle has more than \(limits.instructions) instructions")
      }
      let code = try reader.integer(UInt8.self)
      guard let opcode = PickleOpcode(rawValue: code) else {
        throw malformed("unknown pickle opcode 0x\(String(code, radix: 16))")
      }
      if opcode == .stop {
        let root = try pop()
        return Pickle(root: root, nodes: nodes, globals: globals, byteCount: reader.position)
      }
      try execute(opcode, &reader)
    }
  }

  /// Counts memory before it is used.
  mutating func spend(_ bytes: Int) throws(FormatError) {
    memory += bytes
    guard memory <= limits.memory else {
      throw malformed(
        "the unpickled object needs more than \(limits.memory) bytes of memory")
    }
  }

  func malformed(_ message: String) -> FormatError {
    FormatError(.malformed, message, offset: offset)
  }

  private mutating func execute(
    _ opcode: PickleOpcode, _ reader: inout ByteReader
  ) throws(FormatError) {
    switch opcode {
    case .stop: break
    case .proto:
      let version = try reader.integer(UInt8.self)
      guard version <= 5 else {
        throw FormatError(
          .unsupported, "unsupported pickle protocol \(version) (maximum 5)", offset: offset)
      }
    case .frame:
      let count = try reader.integer(UInt64.self)
      guard count <= UInt64(reader.remaining) else {
        throw reader.endsEarly(needing: Int(clamping: count))
      }

    // Scalars.
    case .none: try push(.none)
    case .newTrue: try push(.bool(true))
    case .newFalse: try push(.bool(false))
    case .binaryInteger: try push(.integer(Int(try reader.integer(Int32.self))))
    case .binaryInteger1: try push(.integer(Int(try reader.integer(UInt8.self))))
    case .binaryInteger2: try push(.integer(Int(try reader.integer(UInt16.self))))
    case .long1: try pushLong(try reader.array(Int(try reader.integer(UInt8.self))))
    case .long4: try pushLong(try reader.array(Int(try reader.integer(Int32.self))))
    case .integer, .long: try pushDecimal(try reader.line(), isLong: opcode == .long)
    case .binaryFloat:
      let bits = UInt64(bigEndian: try reader.integer(UInt64.self))
      try push(.real(Double(bitPattern: bits)))
    case .float:
      guard let value = Double(String(decoding: try reader.line(), as: UTF8.self)) else {
        throw malformed("invalid number")
      }
      try push(.real(value))

    // Strings.
    case .shortBinaryString: try pushString(try reader.array(Int(try reader.integer(UInt8.self))))
    case .binaryString: try pushString(try reader.array(Int(try reader.integer(Int32.self))))
    case .string:
      guard let bytes = PythonText.quoted(try reader.line()) else {
        throw malformed("invalid string literal")
      }
      try pushString(bytes)
    case .unicode:
      guard let text = PythonText.rawUnicodeEscape(try reader.line()) else {
        throw malformed("invalid string literal")
      }
      try push(.string(text))
    case .shortBinaryUnicode: try pushText(Int(try reader.integer(UInt8.self)), &reader)
    case .binaryUnicode: try pushText(Int(try reader.integer(UInt32.self)), &reader)
    case .binaryUnicode8: try pushText(Int(clamping: try reader.integer(UInt64.self)), &reader)
    case .shortBinaryBytes:
      try pushBytes(Int(try reader.integer(UInt8.self)), &reader)
    case .binaryBytes: try pushBytes(Int(try reader.integer(UInt32.self)), &reader)
    case .binaryBytes8, .byteArray8:
      try pushBytes(Int(clamping: try reader.integer(UInt64.self)), &reader)

    // Containers.
    case .emptyTuple: try push(node: PickleNode(kind: .tuple))
    case .tuple: try push(node: PickleNode(kind: .tuple, items: try popItems()))
    case .tuple1: try pushTuple(1)
    case .tuple2: try pushTuple(2)
    case .tuple3: try pushTuple(3)
    case .emptyList: try push(node: PickleNode(kind: .list))
    case .list: try push(node: PickleNode(kind: .list, items: try popItems()))
    case .emptyDictionary: try push(node: PickleNode(kind: .dictionary))
    case .dictionary:
      try push(node: PickleNode(kind: .dictionary, pairs: try popPairs()))
    case .emptySet: try push(node: PickleNode(kind: .set))
    case .frozenSet: try push(node: PickleNode(kind: .set, items: try popItems()))
    case .append:
      try spend(Cost.appended)
      try append([try pop()])
    case .appends: try append(try popItems(each: Cost.appended))
    case .addItems: try addItems(try popItems(each: Cost.appended))
    case .setItem:
      try spend(2 * Cost.member)
      let value = try pop()
      try setPairs([try pop(), value])
    case .setItems: try setPairs(try popPairs())

    // The stack and the memo.
    case .mark:
      guard marks.count < limits.stack else { throw malformed("the pickle has too many marks") }
      marks.append(stack.count)
    case .pop:
      if stack.count > fence { _ = try pop() } else { _ = try popToMark() }
    case .popMark: _ = try popToMark()
    case .duplicate:
      let value = try pop()
      try push(value)
      try push(value)
    case .get: try get(try memoIndex(try reader.line()))
    case .binaryGet: try get(Int(try reader.integer(UInt8.self)))
    case .longBinaryGet: try get(Int(try reader.integer(UInt32.self)))
    case .put: try put(at: try memoIndex(try reader.line()))
    case .binaryPut: try put(at: Int(try reader.integer(UInt8.self)))
    case .longBinaryPut: try put(at: Int(try reader.integer(UInt32.self)))
    case .memoize: try put(at: memo.count)

    // Classes, calls and objects.
    case .global: try pushGlobal(module: try line(&reader), name: try line(&reader))
    case .stackGlobal:
      guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
        throw malformed("a class name is not a string")
      }
      try pushGlobal(module: module, name: name)
    case .extension1: try pushExtension(Int(try reader.integer(UInt8.self)))
    case .extension2: try pushExtension(Int(try reader.integer(UInt16.self)))
    case .extension4: try pushExtension(Int(try reader.integer(Int32.self)))
    case .reduce:
      let arguments = try popTuple()
      try push(try call(try pop(), arguments))
    case .newObject:
      let arguments = try popTuple()
      try push(try instance(of: try pop(), arguments))
    case .newObjectKeywords:
      let keywords = try pop()
      let arguments = try popTuple()
      try push(try instance(of: try pop(), arguments, keywords: keywords))
    case .instance:
      let (module, name) = (try line(&reader), try line(&reader))
      let arguments = try makeNode(PickleNode(kind: .tuple, items: try popItems()))
      try pushGlobal(module: module, name: name)
      try push(try call(try pop(), arguments))
    case .object:
      var items = try popItems()
      guard !items.isEmpty else { throw malformed("an object has no class") }
      let type = items.removeFirst()
      try push(try call(type, try makeNode(PickleNode(kind: .tuple, items: items))))
    case .build:
      let state = try pop()
      try giveState(state)
    case .persistentID:
      try push(node: PickleNode(kind: .persistent(.string(try line(&reader)))))
    case .binaryPersistentID: try push(node: PickleNode(kind: .persistent(try pop())))
    case .nextBuffer, .readOnlyBuffer:
      throw FormatError(
        .unsupported, "the pickle uses out-of-band buffers", offset: offset)
    }
  }
}
