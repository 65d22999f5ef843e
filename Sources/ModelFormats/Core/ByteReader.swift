import Glibc
import OrderedJSON

/// A bounds-checked cursor over little-endian bytes.
struct ByteReader: ~Escapable {
  private let bytes: RawSpan
  /// The offset in the file of the first byte.
  private let base: Int
  private(set) var position = 0
  /// The name of the data, for truncation errors.
  private let what: StaticString

  @_lifetime(copy bytes)
  init(_ bytes: RawSpan, base: Int, what: StaticString) {
    self.bytes = bytes
    self.base = base
    self.what = what
  }

  /// The offset in the file of the next byte.
  var offset: Int { base + position }

  var remaining: Int { bytes.byteCount - position }

  func endsEarly(needing count: Int) -> FormatError {
    guard count >= 0 else {
      return FormatError(.malformed, "\(what) has a negative length", offset: offset)
    }
    return FormatError(
      .truncated,
      "\(what) ends early: needs \(count.of("byte")), but only \(remaining) remain",
      offset: offset)
  }

  @_lifetime(self: copy self)
  mutating func integer<T: FixedWidthInteger & BitwiseCopyable>(
    _ type: T.Type = T.self
  ) throws(FormatError) -> T {
    let width = MemoryLayout<T>.size
    guard remaining >= width else { throw endsEarly(needing: width) }
    defer { position += width }
    return unsafe T(
      littleEndian: bytes.unsafeLoadUnaligned(fromUncheckedByteOffset: position, as: T.self))
  }

  @_lifetime(self: copy self)
  mutating func skip(_ count: Int) throws(FormatError) {
    guard count >= 0, count <= remaining else { throw endsEarly(needing: count) }
    position += count
  }

  @_lifetime(self: copy self)
  mutating func array(_ count: Int) throws(FormatError) -> [UInt8] {
    try unsafe withNext(count) { unsafe [UInt8]($0) }
  }

  /// The next `count` bytes as UTF-8 text; nil if they are not valid UTF-8.
  @_lifetime(self: copy self)
  mutating func text(_ count: Int) throws(FormatError) -> String? {
    try unsafe withNext(count) { unsafe String(validating: $0, as: UTF8.self) }
  }

  /// The bytes up to the next line feed, which is consumed.
  @_lifetime(self: copy self)
  mutating func line() throws(FormatError) -> [UInt8] {
    var end = position
    while end < bytes.byteCount {
      let byte = unsafe bytes.unsafeLoad(fromUncheckedByteOffset: end, as: UInt8.self)
      if byte == UInt8(ascii: "\n") {
        let line = try array(end - position)
        position += 1
        return line
      }
      end += 1
    }
    throw FormatError(.truncated, "\(what) ends inside a line", offset: offset)
  }

  /// Skips the bytes up to and including the next line feed.
  ///
  /// - Returns: the range of the line's bytes in the file.
  @_lifetime(self: copy self)
  mutating func skipLine() throws(FormatError) -> Range<Int> {
    let length = unsafe bytes.extracting(position..<bytes.byteCount).withUnsafeBytes { rest in
      unsafe rest.baseAddress.flatMap { start in
        unsafe memchr(start, Int32(UInt8(ascii: "\n")), rest.count).map { found in
          unsafe UnsafeRawPointer(found) - start
        }
      }
    }
    guard let length else {
      throw FormatError(.truncated, "\(what) ends inside a line", offset: offset)
    }
    let start = offset
    position += length + 1
    return start..<(start + length)
  }

  @_lifetime(self: copy self)
  private mutating func withNext<R>(
    _ count: Int, _ body: (UnsafeRawBufferPointer) -> R
  ) throws(FormatError) -> R {
    guard count >= 0, count <= remaining else { throw endsEarly(needing: count) }
    defer { position += count }
    return unsafe bytes.extracting(position..<(position + count)).withUnsafeBytes(body)
  }
}
