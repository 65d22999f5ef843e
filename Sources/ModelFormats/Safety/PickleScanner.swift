import Glibc

/// Reads a pickle for what unpickling it would import and call, in one pass, and builds nothing.
///
/// Unlike ``PickleMachine`` it has no limit on instructions and goes on where the machine refuses:
/// what stands before a fault runs all the same. Its memory is bounded; what leaves the bounds is
/// forgotten, and a name made of what was forgotten counts as computed.
///
/// Source: CPython's `pickle` and `pickletools`; frames are passed over, as Python's own reader
/// written in Python does with frames that are longer than the file.
struct PickleScanner {
  /// A value as far as it matters.
  enum Value {
    /// A number, a truth value, None: nothing that can be called or named.
    case plain
    case integer(Int)
    /// A string that stands in the pickle.
    case text(Constant)
    /// Bytes that stand in the pickle, or a text made into bytes, character by character.
    case bytes(Constant)
    /// A class or function, by its number.
    case global(Int)
    /// What a call gives, by the number of the class or function that was called.
    case result(Int)
    /// A tuple or list, by its number.
    case container(Int)
    /// Anything: what a persistent identifier stands for, or what was forgotten.
    case opaque
  }

  /// A string or bytes that stand in the pickle.
  struct Constant {
    enum Form { case raw, quoted, escaped }

    let offset: Int
    let count: Int
    let form: Form
    /// Whether it is a text whose characters are bytes.
    var isLatin1 = false
  }

  /// A call of `torch.storage._load_from_bytes`.
  struct Load {
    let offset: Int
    /// The bytes that are loaded; nil where they are computed.
    let argument: Constant?
  }

  /// A class or function that the pickle names.
  struct Found {
    let global: Pickle.Global
    let offset: Int
    let rule: KnownGlobals.Rule?
    var danger: String?
    /// Whether it is called, made an instance of, or changed.
    var isUsed = false
    /// Whether it is called with arguments that its rule does not allow, or that were forgotten.
    var isUnchecked = false

    /// Whether unpickling it runs no code that is not known.
    var isKnown: Bool { rule != nil && danger == nil && !isUnchecked }
  }

  struct Container {
    var items: [Value] = []
    var isWhole = true
  }

  /// What is remembered at most.
  enum Limit {
    static let stack = 256 << 10
    static let memo = 512 << 10
    static let containers = 128 << 10
    static let items = 384 << 10
    static let itemsOfOne = 16
    static let globals = 64 << 10
    static let nameLength = 4096
    static let inner = 64
  }

  let file: MappedFile
  /// Whether only names are taken in that a program would write: where nothing says that the bytes
  /// are a pickle, others stand there by chance.
  let isGuess: Bool
  var found: [Found] = []
  var loads: [Load] = []
  /// Bytes that begin as pickles do: data to this pickle, which programs unpickle in turn.
  private(set) var inner: [Constant] = []
  /// Pickles that ran to their STOP.
  private(set) var count = 0
  /// Why the last did not; nil where the bytes ended with it.
  private(set) var fault: FormatError?
  var numbers: [Pickle.Global: Int] = [:]
  private var stack: [Value] = []
  private var marks: [Int] = []
  private var hasForgotten = false
  private var memo: [Value] = []
  private var sparseMemo: [Int: Value] = [:]
  var containers: [Container] = []
  private var itemCount = 0
  var offset = 0

  init(_ file: MappedFile, isGuess: Bool) {
    self.file = file
    self.isGuess = isGuess
  }

  /// Reads the pickles that follow one another from the beginning of `range` on: a program that reads
  /// on runs those after a STOP.
  mutating func scan(_ range: Range<Int>) {
    // A copy, so that the reader's view is not one of `self`, which is changed below.
    let file = file
    var start = range.lowerBound
    while start < range.upperBound {
      reset()
      var reader = ByteReader(
        file.bytes.extracting(start..<range.upperBound), base: start, what: "the pickle")
      do throws(FormatError) {
        while try step(&reader) {}
      } catch {
        fault = error
        return
      }
      count += 1
      start = reader.offset
    }
  }

  private mutating func reset() {
    stack.removeAll(keepingCapacity: true)
    marks.removeAll(keepingCapacity: true)
    memo.removeAll(keepingCapacity: true)
    sparseMemo.removeAll(keepingCapacity: true)
    containers.removeAll(keepingCapacity: true)
    itemCount = 0
    hasForgotten = false
  }

  func failure(_ message: String) -> FormatError {
    FormatError(.malformed, message, offset: offset)
  }

  // MARK: Instructions

  /// Reads one instruction; false at STOP.
  private mutating func step(_ reader: inout ByteReader) throws(FormatError) -> Bool {
    offset = reader.offset
    let code = try reader.integer(UInt8.self)
    guard let opcode = PickleOpcode(rawValue: code) else {
      throw failure("0x\(String(code, radix: 16)) is no instruction of a pickle")
    }
    switch opcode {
    case .stop:
      _ = try pop()
      return false
    case .proto: try reader.skip(1)
    case .frame: try reader.skip(8)
    case .none, .newTrue, .newFalse, .emptyDictionary, .emptySet: push(.plain)
    case .nextBuffer: push(.opaque)
    case .readOnlyBuffer: break
    case .binaryInteger: push(.integer(Int(try reader.integer(Int32.self))))
    case .binaryInteger1: push(.integer(Int(try reader.integer(UInt8.self))))
    case .binaryInteger2: push(.integer(Int(try reader.integer(UInt16.self))))
    case .long1: push(long(try reader.array(Int(try reader.integer(UInt8.self)))))
    case .long4:
      try reader.skip(Int(try reader.integer(Int32.self)))
      push(.integer(.max))
    case .binaryFloat:
      try reader.skip(8)
      push(.plain)
    case .integer, .long:
      let line = try reader.skipLine()
      push(.integer(Int(string(line, .raw).filter { $0 != "L" }) ?? .max))
    case .float:
      _ = try reader.skipLine()
      push(.plain)
    case .string: push(.text(constant(try reader.skipLine(), .quoted)))
    case .unicode: push(.text(constant(try reader.skipLine(), .escaped)))
    case .shortBinaryString, .shortBinaryUnicode:
      try push(&reader, Int(try reader.integer(UInt8.self)), isText: true)
    case .binaryString: try push(&reader, Int(try reader.integer(Int32.self)), isText: true)
    case .binaryUnicode: try push(&reader, Int(try reader.integer(UInt32.self)), isText: true)
    case .binaryUnicode8:
      try push(&reader, Int(clamping: try reader.integer(UInt64.self)), isText: true)
    case .shortBinaryBytes: try push(&reader, Int(try reader.integer(UInt8.self)), isText: false)
    case .binaryBytes: try push(&reader, Int(try reader.integer(UInt32.self)), isText: false)
    case .binaryBytes8, .byteArray8:
      try push(&reader, Int(clamping: try reader.integer(UInt64.self)), isText: false)
    default: try move(opcode, &reader)
    }
    return true
  }

  /// Instructions on containers, the stack and the memo.
  private mutating func move(
    _ opcode: PickleOpcode, _ reader: inout ByteReader
  ) throws(FormatError) {
    switch opcode {
    case .emptyTuple, .emptyList: push(container(of: [], count: 0))
    case .tuple, .list: push(try containerToMark())
    case .tuple1: try pushTuple(1)
    case .tuple2: try pushTuple(2)
    case .tuple3: try pushTuple(3)
    case .dictionary, .frozenSet:
      try dropToMark()
      push(.plain)
    case .append: try change(1)
    case .setItem: try change(2)
    case .appends, .addItems, .setItems: try change(nil)
    case .mark:
      if marks.count >= Limit.stack {
        marks.removeFirst(Limit.stack / 2)
        hasForgotten = true
      }
      marks.append(stack.count)
    case .pop:
      if let mark = marks.last, mark == stack.count {
        marks.removeLast()
      } else {
        _ = try pop()
      }
    case .popMark: try dropToMark()
    case .duplicate: push(try top())
    case .get: try get(try memoIndex(&reader))
    case .binaryGet: try get(Int(try reader.integer(UInt8.self)))
    case .longBinaryGet: try get(Int(try reader.integer(UInt32.self)))
    case .put: try put(at: try memoIndex(&reader))
    case .binaryPut: try put(at: Int(try reader.integer(UInt8.self)))
    case .longBinaryPut: try put(at: Int(try reader.integer(UInt32.self)))
    case .memoize: try put(at: memo.count + sparseMemo.count)
    default: try use(opcode, &reader)
    }
  }

  /// Instructions that import, call and change.
  private mutating func use(
    _ opcode: PickleOpcode, _ reader: inout ByteReader
  ) throws(FormatError) {
    switch opcode {
    case .global:
      let module = try name(&reader)
      push(try global(module, try name(&reader)))
    case .stackGlobal:
      let name = try pop()
      push(try global(try pop(), name))
    case .extension1: try pushExtension(Int(try reader.integer(UInt8.self)))
    case .extension2: try pushExtension(Int(try reader.integer(UInt16.self)))
    case .extension4: try pushExtension(Int(try reader.integer(Int32.self)))
    case .reduce, .newObject:
      let arguments = try pop()
      push(call(try pop(), arguments))
    case .newObjectKeywords:
      let keywords = try pop()
      let arguments = try pop()
      let type = try pop()
      inspect(keywords, of: type)
      push(call(type, arguments))
    case .instance:
      let module = try name(&reader)
      let type = try global(module, try name(&reader))
      push(call(type, try containerToMark()))
    case .object:
      let arguments = try containerToMark()
      guard case .container(let index) = arguments, let type = containers[index].items.first else {
        return push(.opaque)
      }
      push(call(type, arguments, dropping: 1))
    case .build: try change(1)
    case .persistentID:
      _ = try reader.skipLine()
      push(.opaque)
    case .binaryPersistentID:
      _ = try pop()
      push(.opaque)
    default: break
    }
  }

  // MARK: Stack

  mutating func push(_ value: Value) {
    if stack.count >= Limit.stack {
      let half = Limit.stack / 2
      stack.removeFirst(half)
      marks = marks.compactMap { $0 < half ? nil : $0 - half }
      hasForgotten = true
    }
    stack.append(value)
  }

  private mutating func push(
    _ reader: inout ByteReader, _ count: Int, isText: Bool
  ) throws(FormatError) {
    let start = reader.offset
    try reader.skip(count)
    let constant = Constant(offset: start, count: count, form: .raw)
    if !isText, count > 4, inner.count < Limit.inner {
      let head = Content.head(of: file, start..<(start + count), count: 2)
      if head[0] == 0x80, (2...5).contains(head[1]) { inner.append(constant) }
    }
    push(isText ? .text(constant) : .bytes(constant))
  }

  private mutating func pop() throws(FormatError) -> Value {
    if stack.count > marks.last ?? 0 { return stack.removeLast() }
    if hasForgotten { return .opaque }
    throw failure("the pickle takes a value that is not there")
  }

  private func top() throws(FormatError) -> Value {
    if stack.count > marks.last ?? 0, let value = stack.last { return value }
    if hasForgotten { return .opaque }
    throw failure("the pickle uses a value that is not there")
  }

  private mutating func mark() throws(FormatError) -> Int {
    if let mark = marks.popLast() { return mark }
    if hasForgotten { return 0 }
    throw failure("the pickle goes back to a mark that is not there")
  }

  private mutating func dropToMark() throws(FormatError) {
    stack.removeSubrange(try mark()...)
  }

  private mutating func containerToMark() throws(FormatError) -> Value {
    let mark = try mark()
    let value = container(of: stack[mark...], count: stack.count - mark)
    stack.removeSubrange(mark...)
    return value
  }

  private mutating func pushTuple(_ count: Int) throws(FormatError) {
    var items: [Value] = []
    for _ in 0..<count { items.append(try pop()) }
    push(container(of: items.reversed()[...], count: count))
  }

  private mutating func container(of items: ArraySlice<Value>, count: Int) -> Value {
    guard containers.count < Limit.containers else { return .opaque }
    let kept = min(count, Limit.itemsOfOne, Limit.items - itemCount)
    containers.append(Container(items: Array(items.prefix(kept)), isWhole: kept == count))
    itemCount += kept
    return .container(containers.count - 1)
  }

  /// Appends, keys, and state: what the object below takes. Nothing may change a class or module,
  /// whose other users would find it changed.
  private mutating func change(_ count: Int?) throws(FormatError) {
    var items: [Value] = []
    if let count {
      for _ in 0..<count { items.append(try pop()) }
    } else {
      let mark = try mark()
      items = Array(stack[mark...].suffix(Limit.itemsOfOne))
      stack.removeSubrange(mark...)
    }
    switch try top() {
    case .global(let index):
      found[index].danger = found[index].danger ?? "is changed for all who use it"
      found[index].isUsed = true
    case .container(let index):
      let kept = min(
        items.count, Limit.itemsOfOne - min(Limit.itemsOfOne, containers[index].items.count),
        Limit.items - itemCount)
      containers[index].items += items.prefix(kept)
      if kept < items.count { containers[index].isWhole = false }
      itemCount += kept
    default: break
    }
  }

  // MARK: Memo

  private mutating func put(at index: Int) throws(FormatError) {
    let value = try top()
    if index < memo.count {
      memo[index] = value
    } else if index == memo.count, memo.count < Limit.memo, sparseMemo[index] == nil {
      memo.append(value)
    } else if sparseMemo.count < Limit.memo / 8 || sparseMemo[index] != nil {
      sparseMemo[index] = value
    } else {
      hasForgotten = true
    }
  }

  private mutating func get(_ index: Int) throws(FormatError) {
    if index < memo.count {
      push(memo[index])
    } else if let value = sparseMemo[index] {
      push(value)
    } else if hasForgotten {
      push(.opaque)
    } else {
      throw failure("the pickle recalls value \(index), which was not memorised")
    }
  }

  private func memoIndex(_ reader: inout ByteReader) throws(FormatError) -> Int {
    let line = try reader.skipLine()
    guard let index = Int(string(line, .raw)), index >= 0 else {
      throw failure("a memo index is not written as a number")
    }
    return index
  }
}
