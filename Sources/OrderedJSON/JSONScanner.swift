/// A cursor over JSON text that reads one token or value at a time.
///
/// A reader with a fixed schema walks the text with this and keeps the byte offset of each part;
/// ``JSON/init(parsing:depthLimit:)`` builds complete values with it. The text must be valid UTF-8,
/// which the caller has checked.
package struct JSONScanner: ~Escapable {
  /// The maximum number of values for ``value(depth:limit:)``, each of which takes up to a hundred
  /// bytes of memory; a vocabulary has 50,000.
  package static let valueLimit = 512 << 10
  /// The maximum length of a string in bytes.
  package static let textLimit = 16 << 20

  let bytes: RawSpan
  private var valueCount = 0
  /// Bytes from the start of the text.
  package private(set) var position = 0

  @_lifetime(copy bytes)
  package init(_ bytes: RawSpan) {
    self.bytes = bytes
  }

  var peek: UInt8? {
    guard position < bytes.byteCount else { return nil }
    return unsafe bytes.unsafeLoad(fromUncheckedByteOffset: position, as: UInt8.self)
  }

  func failure(_ reason: JSONError.Reason, key: String? = nil) -> JSONError {
    JSONError(reason: reason, offset: position, key: key)
  }

  func next() throws(JSONError) -> UInt8 {
    guard let byte = peek else { throw failure(.unexpectedEnd) }
    return byte
  }

  @_lifetime(self: copy self)
  package mutating func skipWhiteSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  /// The first byte of the next value, without consuming it.
  @_lifetime(self: copy self)
  package mutating func nextByte() throws(JSONError) -> UInt8 {
    skipWhiteSpace()
    return try next()
  }

  /// Checks that only whitespace is left.
  @_lifetime(self: copy self)
  package mutating func end() throws(JSONError) {
    skipWhiteSpace()
    guard peek == nil else { throw failure(.trailingBytes) }
  }

  @_lifetime(self: copy self)
  private mutating func expect(_ byte: UInt8) throws(JSONError) {
    guard try nextByte() == byte else { throw failure(.unexpectedByte) }
    position += 1
  }
}

extension JSONScanner {
  /// Moves into an object; ``nextKey(_:)`` walks its members.
  @_lifetime(self: copy self)
  package mutating func enterObject() throws(JSONError) {
    try expect(UInt8(ascii: "{"))
  }

  /// Moves to the value of the next member, or past the end of the object.
  ///
  /// - Parameter isFirst: true before the first call for an object.
  /// - Returns: the key and the offset of its opening quote; nil at the end of the object.
  @_lifetime(self: copy self)
  package mutating func nextKey(
    _ isFirst: inout Bool
  ) throws(JSONError) -> (key: String, offset: Int)? {
    guard try nextItem(&isFirst, closing: UInt8(ascii: "}")) else { return nil }
    let start = position
    let key = try string()
    try expect(UInt8(ascii: ":"))
    skipWhiteSpace()
    return (key, start)
  }

  /// Moves into an array; ``nextElement(_:)`` walks its elements.
  @_lifetime(self: copy self)
  package mutating func enterArray() throws(JSONError) {
    try expect(UInt8(ascii: "["))
  }

  /// Moves to the next element and returns true, or past the end of the array.
  @_lifetime(self: copy self)
  package mutating func nextElement(_ isFirst: inout Bool) throws(JSONError) -> Bool {
    try nextItem(&isFirst, closing: UInt8(ascii: "]"))
  }

  @_lifetime(self: copy self)
  private mutating func nextItem(
    _ isFirst: inout Bool, closing: UInt8
  ) throws(JSONError) -> Bool {
    let byte = try nextByte()
    if byte == closing {
      position += 1
      return false
    }
    if !isFirst {
      guard byte == UInt8(ascii: ",") else { throw failure(.unexpectedByte) }
      position += 1
      skipWhiteSpace()
    }
    isFirst = false
    return true
  }

  /// Reads a string.
  @_lifetime(self: copy self)
  package mutating func string() throws(JSONError) -> String {
    guard try next() == UInt8(ascii: "\"") else { throw failure(.unexpectedByte) }
    position += 1
    let start = position
    while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 {
      position += 1
    }
    // Most strings have no escapes and can be copied.
    if try next() == UInt8(ascii: "\"") {
      guard position - start <= JSONScanner.textLimit else { throw failure(.tooLong) }
      defer { position += 1 }
      return text(start..<position)
    }
    var buffer: [UInt8] = []
    for index in start..<position {
      unsafe buffer.append(bytes.unsafeLoad(fromUncheckedByteOffset: index, as: UInt8.self))
    }
    while true {
      let byte = try next()
      guard position - start <= JSONScanner.textLimit else { throw failure(.tooLong) }
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return String(decoding: buffer, as: UTF8.self)
      case UInt8(ascii: "\\"):
        position += 1
        try escape(into: &buffer)
      case 0..<0x20:
        throw failure(.unexpectedByte)
      default:
        buffer.append(byte)
        position += 1
      }
    }
  }

  private func text(_ range: Range<Int>) -> String {
    unsafe bytes.extracting(range).withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
  }

  @_lifetime(self: copy self)
  private mutating func escape(into buffer: inout [UInt8]) throws(JSONError) {
    let byte = try next()
    let plain: UInt8? =
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): byte
      case UInt8(ascii: "b"): 0x08
      case UInt8(ascii: "f"): 0x0C
      case UInt8(ascii: "n"): 0x0A
      case UInt8(ascii: "r"): 0x0D
      case UInt8(ascii: "t"): 0x09
      default: nil
      }
    if let plain {
      buffer.append(plain)
      position += 1
      return
    }
    guard byte == UInt8(ascii: "u") else { throw failure(.invalidEscape) }
    position += 1
    var code = UInt32(try hexadecimal())
    if (0xD800..<0xDC00).contains(code) {
      guard peek == UInt8(ascii: "\\") else { throw failure(.invalidEscape) }
      position += 1
      guard peek == UInt8(ascii: "u") else { throw failure(.invalidEscape) }
      position += 1
      let low = UInt32(try hexadecimal())
      guard (0xDC00..<0xE000).contains(low) else { throw failure(.invalidEscape) }
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code) else { throw failure(.invalidEscape) }
    buffer.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
  }

  @_lifetime(self: copy self)
  private mutating func hexadecimal() throws(JSONError) -> UInt16 {
    var value: UInt16 = 0
    for _ in 0..<4 {
      let byte = try next()
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x41 + 10
      case 0x61...0x66: digit = byte - 0x61 + 10
      default: throw failure(.invalidEscape)
      }
      value = value << 4 | UInt16(digit)
      position += 1
    }
    return value
  }
}

extension JSONScanner {
  /// Reads one value of any kind.
  ///
  /// - Parameters:
  ///   - depth: the depth of the value itself.
  ///   - limit: the maximum nesting depth of arrays and objects.
  @_lifetime(self: copy self)
  package mutating func value(depth: Int = 0, limit: Int = 64) throws(JSONError) -> JSON {
    guard depth <= limit else { throw failure(.tooDeep) }
    valueCount += 1
    guard valueCount <= JSONScanner.valueLimit else { throw failure(.tooMany) }
    switch try next() {
    case UInt8(ascii: "{"): return .object(try object(depth: depth, limit: limit))
    case UInt8(ascii: "["): return .array(try array(depth: depth, limit: limit))
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    default: throw failure(.unexpectedByte)
    }
  }

  @_lifetime(self: copy self)
  private mutating func object(depth: Int, limit: Int) throws(JSONError) -> JSONObject {
    try enterObject()
    var object = JSONObject()
    var isFirst = true
    while let (key, start) = try nextKey(&isFirst) {
      let value = try value(depth: depth + 1, limit: limit)
      guard object.append(key, value) else {
        throw JSONError(reason: .duplicateKey, offset: start, key: key)
      }
    }
    return object
  }

  @_lifetime(self: copy self)
  private mutating func array(depth: Int, limit: Int) throws(JSONError) -> [JSON] {
    try enterArray()
    var elements: [JSON] = []
    var isFirst = true
    while try nextElement(&isFirst) {
      elements.append(try value(depth: depth + 1, limit: limit))
    }
    return elements
  }

  @_lifetime(self: copy self)
  private mutating func literal(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
    for index in 0..<text.utf8CodeUnitCount {
      let expected = unsafe text.utf8Start[index]
      guard try next() == expected else { throw failure(.unexpectedByte) }
      position += 1
    }
    return value
  }

  @_lifetime(self: copy self)
  private mutating func digits() throws(JSONError) {
    guard let byte = peek, (0x30...0x39).contains(byte) else { throw failure(.invalidNumber) }
    while let byte = peek, (0x30...0x39).contains(byte) { position += 1 }
  }

  @_lifetime(self: copy self)
  private mutating func number() throws(JSONError) -> JSON {
    let start = position
    if peek == UInt8(ascii: "-") { position += 1 }
    if peek == UInt8(ascii: "0") {
      position += 1
      if let byte = peek, (0x30...0x39).contains(byte) { throw failure(.invalidNumber) }
    } else {
      try digits()
    }
    var isInteger = true
    if peek == UInt8(ascii: ".") {
      isInteger = false
      position += 1
      try digits()
    }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      isInteger = false
      position += 1
      if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
      try digits()
    }
    let text = text(start..<position)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text) else { throw failure(.invalidNumber) }
    return .number(value)
  }
}
