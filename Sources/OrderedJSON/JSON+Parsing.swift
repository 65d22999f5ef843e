/// Why bytes are not JSON, and at which byte.
public struct JSONError: Error, Sendable, Hashable {
  public enum Reason: String, Sendable, Hashable {
    case invalidUTF8 = "the text is not UTF-8"
    case unexpectedByte = "a byte stands where JSON does not allow it"
    case unexpectedEnd = "the text ends inside a value"
    case invalidEscape = "an escape sequence is not one of JSON's"
    case invalidNumber = "a number is not written as JSON writes numbers"
    case duplicateKey = "a key stands twice in one object"
    case tooDeep = "values are nested too deeply"
    case trailingBytes = "something follows the value"
  }

  public let reason: Reason
  /// Bytes from the start of the text.
  public let offset: Int
  /// The key concerned, for a duplicate.
  public let key: String?
}

extension JSON {
  /// Parses one value that fills `bytes`, white space around it allowed.
  ///
  /// - Parameter depthLimit: how deep arrays and objects may nest.
  /// - Throws: ``JSONError``; a duplicate key is an error, as in safetensors' description.
  public init(parsing bytes: RawSpan, depthLimit: Int = 64) throws(JSONError) {
    let isText = unsafe bytes.withUnsafeBytes { (buffer: UnsafeRawBufferPointer) -> Bool in
      unsafe String(validating: buffer, as: UTF8.self) != nil
    }
    guard isText else { throw JSONError(reason: .invalidUTF8, offset: 0, key: nil) }
    var parser = Parser(bytes: bytes, depthLimit: depthLimit)
    self = try parser.document()
  }

  /// Parses a text.
  public init(parsing text: String) throws(JSONError) {
    let bytes = Array(text.utf8)
    self = try unsafe JSON(parsing: bytes.span.bytes)
  }

  private struct Parser: ~Escapable {
    let bytes: RawSpan
    let depthLimit: Int
    var position = 0

    @_lifetime(copy bytes)
    init(bytes: RawSpan, depthLimit: Int) {
      self.bytes = bytes
      self.depthLimit = depthLimit
    }

    var peek: UInt8? {
      guard position < bytes.byteCount else { return nil }
      return unsafe bytes.unsafeLoad(fromByteOffset: position, as: UInt8.self)
    }

    func failure(_ reason: JSONError.Reason, key: String? = nil) -> JSONError {
      JSONError(reason: reason, offset: position, key: key)
    }

    @_lifetime(self: copy self)
    mutating func skipWhiteSpace() {
      while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
        position += 1
      }
    }

    @_lifetime(self: copy self)
    mutating func next() throws(JSONError) -> UInt8 {
      guard let byte = peek else { throw failure(.unexpectedEnd) }
      return byte
    }

    @_lifetime(self: copy self)
    mutating func document() throws(JSONError) -> JSON {
      skipWhiteSpace()
      let value = try value(depth: 0)
      skipWhiteSpace()
      guard peek == nil else { throw failure(.trailingBytes) }
      return value
    }

    @_lifetime(self: copy self)
    mutating func value(depth: Int) throws(JSONError) -> JSON {
      guard depth <= depthLimit else { throw failure(.tooDeep) }
      switch try next() {
      case UInt8(ascii: "{"): return .object(try object(depth: depth))
      case UInt8(ascii: "["): return .array(try array(depth: depth))
      case UInt8(ascii: "\""): return .string(try string())
      case UInt8(ascii: "t"): return try literal("true", .bool(true))
      case UInt8(ascii: "f"): return try literal("false", .bool(false))
      case UInt8(ascii: "n"): return try literal("null", .null)
      case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
      default: throw failure(.unexpectedByte)
      }
    }

    @_lifetime(self: copy self)
    mutating func literal(_ text: StaticString, _ value: JSON) throws(JSONError) -> JSON {
      for index in 0..<text.utf8CodeUnitCount {
        let expected = unsafe text.utf8Start[index]
        guard try next() == expected else { throw failure(.unexpectedByte) }
        position += 1
      }
      return value
    }

    @_lifetime(self: copy self)
    mutating func object(depth: Int) throws(JSONError) -> JSONObject {
      position += 1
      var object = JSONObject()
      skipWhiteSpace()
      if try next() == UInt8(ascii: "}") {
        position += 1
        return object
      }
      while true {
        skipWhiteSpace()
        let start = position
        guard try next() == UInt8(ascii: "\"") else { throw failure(.unexpectedByte) }
        let key = try string()
        guard object[key] == nil else {
          throw JSONError(reason: .duplicateKey, offset: start, key: key)
        }
        skipWhiteSpace()
        guard try next() == UInt8(ascii: ":") else { throw failure(.unexpectedByte) }
        position += 1
        skipWhiteSpace()
        object[key] = try value(depth: depth + 1)
        skipWhiteSpace()
        let byte = try next()
        guard byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") else {
          throw failure(.unexpectedByte)
        }
        position += 1
        if byte == UInt8(ascii: "}") { return object }
      }
    }

    @_lifetime(self: copy self)
    mutating func array(depth: Int) throws(JSONError) -> [JSON] {
      position += 1
      var elements: [JSON] = []
      skipWhiteSpace()
      if try next() == UInt8(ascii: "]") {
        position += 1
        return elements
      }
      while true {
        skipWhiteSpace()
        elements.append(try value(depth: depth + 1))
        skipWhiteSpace()
        let byte = try next()
        guard byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") else {
          throw failure(.unexpectedByte)
        }
        position += 1
        if byte == UInt8(ascii: "]") { return elements }
      }
    }

    @_lifetime(self: copy self)
    mutating func string() throws(JSONError) -> String {
      position += 1
      var buffer: [UInt8] = []
      while true {
        let byte = try next()
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

    @_lifetime(self: copy self)
    mutating func escape(into buffer: inout [UInt8]) throws(JSONError) {
      let byte = try next()
      let plain: [UInt8: UInt8] = [
        UInt8(ascii: "\""): 0x22, UInt8(ascii: "\\"): 0x5C, UInt8(ascii: "/"): 0x2F,
        UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A,
        UInt8(ascii: "r"): 0x0D, UInt8(ascii: "t"): 0x09,
      ]
      if let value = plain[byte] {
        buffer.append(value)
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
      buffer.append(contentsOf: Array(String(Character(scalar)).utf8))
    }

    @_lifetime(self: copy self)
    mutating func hexadecimal() throws(JSONError) -> UInt16 {
      var value: UInt16 = 0
      for _ in 0..<4 {
        let byte = try next()
        guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
          throw failure(.invalidEscape)
        }
        value = value << 4 | UInt16(digit)
        position += 1
      }
      return value
    }

    @_lifetime(self: copy self)
    mutating func digits() throws(JSONError) {
      guard let byte = peek, (0x30...0x39).contains(byte) else { throw failure(.invalidNumber) }
      while let byte = peek, (0x30...0x39).contains(byte) { position += 1 }
    }

    @_lifetime(self: copy self)
    mutating func number() throws(JSONError) -> JSON {
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
      let text = unsafe bytes.extracting(start..<position).withUnsafeBytes {
        unsafe String(decoding: $0, as: UTF8.self)
      }
      if isInteger, let value = Int(text) { return .integer(value) }
      guard let value = Double(text) else { throw failure(.invalidNumber) }
      return .number(value)
    }
  }
}
