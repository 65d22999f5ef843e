import OrderedJSON

/// A JSON scanner for text inside a file; errors have offsets in the file.
struct LocatedJSON: ~Escapable {
  private var scanner: JSONScanner
  private let bytes: RawSpan
  private let base: Int
  /// The name of the text, for errors: "the header".
  private let what: String
  /// The tensor or field being read.
  var context: String?

  /// Starts at the first byte of `bytes`, which is at `base` in the file.
  ///
  /// - Throws: ``FormatError`` with code `malformed` if the text is not UTF-8.
  @_lifetime(copy bytes)
  init(_ bytes: RawSpan, base: Int, what: String) throws(FormatError) {
    if let offset = JSON.firstInvalidUTF8(in: bytes) {
      throw FormatError(.malformed, "\(what) is not UTF-8", offset: base + offset)
    }
    scanner = JSONScanner(bytes)
    self.bytes = bytes
    self.base = base
    self.what = what
  }

  /// The offset in the file of the next byte.
  var offset: Int { base + scanner.position }

  func malformed(_ message: String, at offset: Int) -> FormatError {
    FormatError(.malformed, message, offset: offset, context: context)
  }

  private func formatError(_ error: JSONError) -> FormatError {
    malformed("\(what)'s JSON is wrong: \(error.reason.rawValue)", at: base + error.offset)
  }

  @_lifetime(self: copy self)
  mutating func enterObject() throws(FormatError) {
    do throws(JSONError) { try scanner.enterObject() } catch { throw formatError(error) }
  }

  @_lifetime(self: copy self)
  mutating func nextKey(_ isFirst: inout Bool) throws(FormatError) -> (key: String, offset: Int)? {
    do throws(JSONError) {
      return try scanner.nextKey(&isFirst).map { ($0.key, base + $0.offset) }
    } catch {
      throw formatError(error)
    }
  }

  @_lifetime(self: copy self)
  mutating func enterArray() throws(FormatError) {
    do throws(JSONError) { try scanner.enterArray() } catch { throw formatError(error) }
  }

  @_lifetime(self: copy self)
  mutating func nextElement(_ isFirst: inout Bool) throws(FormatError) -> Bool {
    do throws(JSONError) { return try scanner.nextElement(&isFirst) } catch {
      throw formatError(error)
    }
  }

  /// Whether the next value begins with `byte`.
  @_lifetime(self: copy self)
  mutating func value(begins byte: UInt8) throws(FormatError) -> Bool {
    do throws(JSONError) { return try scanner.nextByte() == byte } catch {
      throw formatError(error)
    }
  }

  /// Reads one value of any kind and returns it with its offset.
  @_lifetime(self: copy self)
  mutating func value() throws(FormatError) -> (JSON, offset: Int) {
    let start = offset
    do throws(JSONError) { return (try scanner.value(), start) } catch {
      throw formatError(error)
    }
  }

  /// The text from an offset in the file to the next byte.
  func text(from start: Int) -> String {
    unsafe bytes.extracting((start - base)..<scanner.position).withUnsafeBytes {
      unsafe String(decoding: $0, as: UTF8.self)
    }
  }

  @_lifetime(self: copy self)
  mutating func end() throws(FormatError) {
    do throws(JSONError) { try scanner.end() } catch { throw formatError(error) }
  }
}
