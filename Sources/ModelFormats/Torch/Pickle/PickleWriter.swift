/// Writes the pickle of a checkpoint: dictionaries of tensors, in protocol 2.
///
/// Uses only opcodes that `torch.load` allows with `weights_only`. Repeated values are memoized, so
/// the pickle stays small.
///
/// Source: Python's `pickletools`, and `torch/_weights_only_unpickler.py`.
struct PickleWriter {
  private(set) var bytes: [UInt8] = [0x80, 2]
  private var memo: [String: UInt8] = [:]

  /// Pairs per SETITEMS, as in Python's pickler.
  static let batchSize = 1000

  mutating func emit(_ opcode: PickleOpcode) {
    bytes.append(opcode.rawValue)
  }

  mutating func finish() -> [UInt8] {
    emit(.stop)
    return bytes
  }

  mutating func integer(_ value: Int) {
    switch value {
    case 0...255:
      emit(.binaryInteger1)
      bytes.append(UInt8(value))
    case 0...65_535:
      emit(.binaryInteger2)
      bytes.append(little: UInt16(value))
    case Int(Int32.min)...Int(Int32.max):
      emit(.binaryInteger)
      bytes.append(little: UInt32(bitPattern: Int32(value)))
    default:
      emit(.long1)
      bytes.append(8)
      bytes.append(little: UInt64(bitPattern: Int64(value)))
    }
  }

  /// Text that appears once.
  mutating func text(_ text: String) {
    emit(.binaryUnicode)
    bytes.append(little: UInt32(text.utf8.count))
    bytes += text.utf8
  }

  /// Text that may be repeated.
  mutating func sharedText(_ text: String) {
    shared("text \(text)") { $0.text(text) }
  }

  /// A class or function.
  mutating func global(_ module: String, _ name: String) {
    shared("global \(module) \(name)") { writer in
      writer.emit(.global)
      writer.bytes += Array("\(module)\n\(name)\n".utf8)
    }
  }

  /// A tuple of integers.
  mutating func tuple(_ values: [Int]) {
    if values.count > 3 { emit(.mark) }
    for value in values { integer(value) }
    switch values.count {
    case 0: emit(.emptyTuple)
    case 1: emit(.tuple1)
    case 2: emit(.tuple2)
    case 3: emit(.tuple3)
    default: emit(.tuple)
    }
  }

  /// Fetches the value memoized under this key, or calls `write` and memoizes it.
  private mutating func shared(_ key: String, _ write: (inout PickleWriter) -> Void) {
    if let index = memo[key] {
      emit(.binaryGet)
      bytes.append(index)
      return
    }
    write(&self)
    // There are only a few dozen types and functions.
    let index = UInt8(memo.count)
    emit(.binaryPut)
    bytes.append(index)
    memo[key] = index
  }
}
