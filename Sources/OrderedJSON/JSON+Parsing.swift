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
    case tooMany = "it holds more values than any real one"
    case tooLong = "a text is longer than any real one"
    case trailingBytes = "something follows the value"
  }

  public let reason: Reason
  /// Bytes from the start of the text.
  public let offset: Int
  /// The key, for a duplicate.
  public let key: String?
}

extension JSON {
  /// Parses one value that fills `bytes`, except surrounding whitespace.
  ///
  /// - Parameter depthLimit: the maximum nesting depth of arrays and objects.
  /// - Throws: ``JSONError``; a duplicate key is an error, as in the safetensors specification.
  public init(parsing bytes: RawSpan, depthLimit: Int = 64) throws(JSONError) {
    if let offset = JSON.firstInvalidUTF8(in: bytes) {
      throw JSONError(reason: .invalidUTF8, offset: offset, key: nil)
    }
    var scanner = JSONScanner(bytes)
    scanner.skipWhiteSpace()
    self = try scanner.value(limit: depthLimit)
    try scanner.end()
  }

  /// Parses a text.
  public init(parsing text: String, depthLimit: Int = 64) throws(JSONError) {
    let bytes = Array(text.utf8)
    self = try unsafe JSON(parsing: bytes.span.bytes, depthLimit: depthLimit)
  }

  /// The offset of the first byte that is not valid UTF-8; nil if all are.
  package static func firstInvalidUTF8(in bytes: RawSpan) -> Int? {
    do throws(UTF8.ValidationError) {
      _ = unsafe try UTF8Span(validating: bytes._unsafeView(as: UInt8.self))
      return nil
    } catch {
      return error.byteOffsets.lowerBound
    }
  }
}
