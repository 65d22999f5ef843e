import OrderedJSON

/// A cursor over the fields of a Protocol Buffers message in a file.
///
///     field     tag, value; the tag is a varint: 8 times the field's number plus a wire type
///     value     type 0: a varint; 1: 8 bytes; 2: a varint and as many bytes; 5: 4 bytes
///     varint    seven bits a byte, lowest first; the top bit says that more follow
///
/// Messages, strings and packed arrays are values of type 2, returned as ranges in the file, so
/// nothing is read before it is needed. Groups (types 3 and 4) are rejected.
///
/// Source: the encoding as protobuf.dev describes it.
struct ProtobufReader {
  enum Value {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes(Range<Int>)
  }

  struct Field {
    let number: Int
    let value: Value
    /// The offset of the field's tag in the file.
    let offset: Int
  }

  let file: MappedFile
  private(set) var position: Int
  let end: Int
  /// The name of the message, for errors: "the graph".
  private let what: String
  /// Whether the message is the whole file, which may be truncated.
  private let isWhole: Bool

  /// Reads the message at `range`, which must be inside the file.
  init(_ file: MappedFile, _ range: Range<Int>, what: String) {
    precondition(range.lowerBound >= 0 && range.upperBound <= file.count, "range outside the file")
    self.file = file
    position = range.lowerBound
    end = range.upperBound
    self.what = what
    isWhole = range == 0..<file.count
  }

  func malformed(_ message: String, at offset: Int) -> FormatError {
    FormatError(.malformed, "\(what) \(message)", offset: offset)
  }

  /// The next field; nil at the end of the message.
  mutating func next() throws(FormatError) -> Field? {
    guard position < end else { return nil }
    let start = position
    let tag = try varint()
    let number = tag >> 3
    guard number > 0, number < 1 << 29 else {
      throw malformed("has a field with the number \(number)", at: start)
    }
    let value: Value
    switch tag & 7 {
    case 0: value = .varint(try varint())
    case 1: value = .fixed64(try fixed(UInt64.self))
    case 5: value = .fixed32(try fixed(UInt32.self))
    case 2:
      let length = try varint()
      guard length <= UInt64(end - position) else {
        throw FormatError(
          isWhole ? .truncated : .malformed,
          "\(what) has a field \(number) of \(length.of("byte")) where \(end - position) are left",
          offset: start, hint: isWhole ? Safetensors.downloadAgain : nil)
      }
      value = .bytes(position..<(position + Int(length)))
      position += Int(length)
    default:
      throw malformed("has a field \(number) of the wire type \(tag & 7)", at: start)
    }
    return Field(number: Int(number), value: value, offset: start)
  }

  /// The varint at the cursor.
  mutating func varint() throws(FormatError) -> UInt64 {
    let start = position
    var value: UInt64 = 0
    for index in 0..<10 {
      guard position < end else { throw malformed("ends inside a number", at: start) }
      let byte = unsafe file.bytes.unsafeLoad(fromUncheckedByteOffset: position, as: UInt8.self)
      position += 1
      guard index < 9 || byte <= 1 else { break }
      value |= UInt64(byte & 0x7F) << (7 * index)
      if byte < 0x80 { return value }
    }
    throw malformed("has a number of more than 64 bits", at: start)
  }

  private mutating func fixed<T: FixedWidthInteger & BitwiseCopyable>(
    _ type: T.Type
  ) throws(FormatError) -> T {
    let width = MemoryLayout<T>.size
    guard end - position >= width else { throw malformed("ends inside a number", at: position) }
    defer { position += width }
    return unsafe T(
      littleEndian: file.bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: position, as: T.self))
  }
}

extension ProtobufReader {
  private func mismatch(_ field: Field) -> FormatError {
    malformed("has a field \(field.number) of another kind than it must be", at: field.offset)
  }

  func integer(_ field: Field) throws(FormatError) -> Int {
    guard case .varint(let value) = field.value else { throw mismatch(field) }
    return Int(truncatingIfNeeded: value)
  }

  /// The range of a message, string or packed array.
  func range(_ field: Field) throws(FormatError) -> Range<Int> {
    guard case .bytes(let range) = field.value else { throw mismatch(field) }
    return range
  }

  func text(_ field: Field) throws(FormatError) -> String {
    let range = try range(field)
    guard range.count <= 1 << 20 else {
      throw malformed("has a text of \(range.count.of("byte"))", at: field.offset)
    }
    let text = unsafe file.withBytes(in: range) { unsafe String(validating: $0, as: UTF8.self) }
    guard let text else {
      throw malformed("has a text that is not UTF-8", at: field.offset)
    }
    return text
  }

  /// Calls `body` with each integer of a repeated field, packed or not.
  func integers(
    _ field: Field, _ body: (Int) throws(FormatError) -> Void
  ) throws(FormatError) {
    guard case .bytes(let range) = field.value else { return try body(try integer(field)) }
    var packed = ProtobufReader(file, range, what: what)
    while packed.position < packed.end {
      try body(Int(truncatingIfNeeded: try packed.varint()))
    }
  }
}
