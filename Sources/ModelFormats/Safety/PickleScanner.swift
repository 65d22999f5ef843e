import Glibc

/// Scans a pickle for what unpickling would import and call, in one pass, without building objects.
///
/// Unlike ``PickleMachine`` it has no opcode limit and continues after errors: everything before an
/// error still runs. Its memory is bounded. If values exceed the bounds it continues, to find more
/// names, but ``isIncomplete`` says that others may be missing.
///
/// Source: CPython's `pickle` and `pickletools`; frames are ignored, as in Python's pure-Python
/// unpickler for frames longer than the file.
struct PickleScanner {
  /// A value, as far as it matters here.
  enum Value {
    /// A number, a Boolean or None, which cannot be called or used as a name.
    case plain
    case integer(Int)
    /// A string in the pickle.
    case text(Constant)
    /// Bytes in the pickle, or a string whose characters became bytes.
    case bytes(Constant)
    /// A class or function, by its number.
    case global(Int)
    /// The result of a call, by the number of the called class or function.
    case result(Int)
    /// A tuple, list or dictionary, by its number; a dictionary has alternating keys and values.
    case container(Int)
    /// A container whose items are not remembered; for a tuple, its length.
    case unseen(Int?)
    /// A NumPy dtype, by its number.
    case numpyType(Int)
    /// Anything: the object of a persistent ID, or a forgotten value.
    case opaque
  }

  /// A string or bytes in the pickle.
  struct Constant {
    enum Form { case raw, quoted, escaped }

    let offset: Int
    let count: Int
    let form: Form
    /// Whether it is a string whose characters are bytes.
    var isLatin1 = false
  }

  /// A call of `torch.storage._load_from_bytes`.
  struct Load {
    let offset: Int
    /// The loaded bytes; nil if they are computed.
    let argument: Constant?
  }

  /// A class or function that the pickle names.
  struct Found {
    let global: Pickle.Global
    let offset: Int
    let rule: KnownGlobals.Rule?
    var danger: String?
    /// Whether it is called, instantiated or changed.
    var isUsed = false
    /// Whether it is called with arguments that its rule does not allow or that cannot be
    /// determined, or passed to code that may call it.
    var isUnchecked = false
    /// Whether the name may be there by chance: no known pickle, and not a name that programs use.
    var isChance = false

    /// Whether unpickling it runs only known code.
    var isKnown: Bool { rule != nil && danger == nil && !isUnchecked }
  }

  struct Container {
    var items: [Value] = []
    /// The number of items, remembered or not.
    var count = 0
    var isTuple = false
    var isWhole: Bool { items.count == count }
  }

  /// Limits of what is remembered.
  enum Limit {
    static let doubts = 4
    static let stack = 256 << 10
    static let memo = 512 << 10
    static let containers = 128 << 10
    static let items = 512 << 10
    static let itemsOfOne = 16
    static let globals = 64 << 10
    static let nameLength = 4096
    static let inner = 64
    /// Total bytes of all names, each counted once.
    static let nameBytes = 1 << 20
    /// Total bytes of names made from constants, including repetitions.
    static let nameWork = 16 << 20
    /// The minimum cost of a name.
    static let nameCost = 64
    /// Total bytes of text inspected as arguments of unknown callables, and the number of values.
    static let textWork = 8 << 20
    static let valueWork = 1 << 20
    static let numpyTypes = 64 << 10
  }

  let file: MappedFile
  /// Whether nothing proves that the bytes are a pickle.
  private let isGuessed: Bool
  var found: [Found] = []
  var loads: [Load] = []
  /// Bytes that begin like pickles: data to this pickle, but programs may unpickle them.
  var inner: [Constant] = []
  /// Pickles that reached their STOP.
  private(set) var count = 0
  /// The end of the last such pickle.
  private(set) var end = 0
  /// Why the last one did not; nil if the bytes ended with it.
  private(set) var fault: FormatError?
  var numbers: [Pickle.Global: Int] = [:]
  /// Names by the constants they are made from.
  var namesOfConstants: [ConstantPair: Int] = [:]
  var nameBytesLeft = Limit.nameBytes
  var nameWorkLeft = Limit.nameWork
  /// Names in the current pickle that may be there by chance, unless it reaches its STOP.
  var chances: [Int] = []
  /// Text arguments of unknown callables, each once.
  var inspected: Set<Inspection> = []
  var textWorkLeft = Limit.textWork
  var valueWorkLeft = Limit.valueWork
  var numpyTypes: [NumPyType] = []
  var stack: [Value] = []
  var marks: [Int] = []
  /// Whether values of the pickle were forgotten, so that later values may be misidentified.
  var hasForgotten = false
  /// Whether values of any pickle were forgotten.
  var isIncomplete = false
  /// Operations whose effect cannot be determined, in words.
  var doubts: [String] = []
  /// The end of the last frame.
  private var frameEnd = 0
  /// Whether the first pickle is the magic number of PyTorch files before 1.6; PyTorch then also
  /// unpickles the next four.
  private(set) var isLegacy = false
  var memo: [Value] = []
  var sparseMemo: [Int: Value] = [:]
  var containers: [Container] = []
  var itemCount = 0
  /// Tuples of numbers, by length: one for all.
  var plainTuples: [Int: Int] = [:]
  /// The object of the last pickle.
  private var last: Value?
  var offset = 0

  init(_ file: MappedFile, isGuess: Bool) {
    self.file = file
    isGuessed = isGuess
  }

  /// Whether nothing proves that the current bytes are a pickle: after STOP anything may follow,
  /// such as tensor values.
  var isGuess: Bool { isLegacy ? count >= 5 : isGuessed || count >= 1 }

  /// The error in a pickle that a program reads; nil if there is none, or if the pickle is only a
  /// guess.
  var toldFault: FormatError? { isGuess ? nil : fault }

  /// Scans consecutive pickles from the beginning of `range`: a program that keeps reading also
  /// runs those after a STOP.
  mutating func scan(_ range: Range<Int>) {
    // A copy, so that the reader does not refer to `self`, which is changed below.
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
      if count == 0, let last { isLegacy = mayBeLarge(last) }
      if frameEnd > reader.offset {
        // Python's reader continues after the frame, or after the STOP.
        doubt("a frame goes on behind the pickle's end")
      }
      for index in chances { found[index].isChance = false }
      count += 1
      start = reader.offset
      end = start
    }
  }

  private mutating func reset() {
    stack.removeAll(keepingCapacity: true)
    marks.removeAll(keepingCapacity: true)
    memo.removeAll(keepingCapacity: true)
    sparseMemo.removeAll(keepingCapacity: true)
    containers.removeAll(keepingCapacity: true)
    plainTuples.removeAll(keepingCapacity: true)
    numpyTypes.removeAll(keepingCapacity: true)
    chances.removeAll(keepingCapacity: true)
    itemCount = 0
    frameEnd = 0
    hasForgotten = false
  }

  /// Whether a value may be an integer of more than 64 bits: an object decides how it compares with
  /// one.
  private func mayBeLarge(_ value: Value) -> Bool {
    switch value {
    case .integer(let value): value == .max
    case .result(let index): found[index].rule != .container
    case .opaque: true
    default: false
    }
  }

  /// Records a doubt at the current opcode.
  mutating func doubt(_ what: String) {
    guard doubts.count < Limit.doubts else { return }
    doubts.append("\(what) at byte \(offset)")
  }

  func failure(_ message: String) -> FormatError {
    FormatError(.malformed, message, offset: offset)
  }

  // MARK: Instructions

  /// Reads one opcode; false at STOP.
  private mutating func step(_ reader: inout ByteReader) throws(FormatError) -> Bool {
    offset = reader.offset
    let code = try reader.integer(UInt8.self)
    guard let opcode = PickleOpcode(rawValue: code) else {
      throw failure("unknown pickle opcode 0x\(String(code, radix: 16))")
    }
    switch opcode {
    case .stop:
      last = try pop()
      return false
    case .proto: try reader.skip(1)
    case .frame:
      let size = Int(clamping: try reader.integer(UInt64.self))
      let end = reader.offset.addingReportingOverflow(size)
      frameEnd = max(frameEnd, end.overflow ? .max : end.partialValue)
    case .none, .newTrue, .newFalse, .emptySet: push(.plain)
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

  /// Opcodes for containers, the stack and the memo.
  private mutating func move(
    _ opcode: PickleOpcode, _ reader: inout ByteReader
  ) throws(FormatError) {
    switch opcode {
    case .emptyTuple: push(tuple(of: []))
    case .emptyList, .emptyDictionary: push(container(of: []))
    case .tuple: push(tuple(of: try itemsToMark()))
    case .list, .dictionary: push(container(of: try itemsToMark()))
    case .tuple1: try pushTuple(1)
    case .tuple2: try pushTuple(2)
    case .tuple3: try pushTuple(3)
    case .frozenSet:
      escape(try itemsToMark())
      push(.plain)
    case .append: try change(1)
    case .setItem: try change(2)
    case .appends, .addItems, .setItems: try change(nil)
    case .mark:
      if marks.count >= Limit.stack {
        marks.removeFirst(Limit.stack / 2)
        forget()
      }
      marks.append(stack.count)
    case .pop:
      if let mark = marks.last, mark == stack.count {
        marks.removeLast()
      } else {
        _ = try pop()
      }
    case .popMark: _ = try itemsToMark()
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

  /// Opcodes that import, call and change.
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
      escape([keywords])
      checkKeywords(keywords, of: type)
      push(call(type, arguments))
    case .instance:
      let module = try name(&reader)
      let type = try global(module, try name(&reader))
      push(call(type, tuple(of: try itemsToMark())))
    case .object:
      let items = try itemsToMark()
      guard let type = items.first else { throw failure("the pickle makes an object of no class") }
      push(call(type, tuple(of: items.dropFirst())))
    case .build: try build()
    case .persistentID:
      _ = try reader.skipLine()
      push(.opaque)
    case .binaryPersistentID: push(persistent(try pop()))
    default: break
    }
  }
}
