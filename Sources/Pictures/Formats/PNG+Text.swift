import CSPNG
import Glibc
import ModelFormats

/// A text in libspng's form, with its own memory.
final class TextChunk {
  /// Points into the memory of this chunk.
  let record: spng_text
  private let text: UnsafeMutablePointer<CChar>
  private let empty: UnsafeMutablePointer<CChar>

  /// - Throws: ``FormatError`` `unsupported` for a keyword or text that PNG does not allow.
  init(_ source: PNG.Text) throws(FormatError) {
    let keyword = source.keyword.unicodeScalars.map { UInt8(exactly: $0.value) ?? 0 }
    guard (1...79).contains(keyword.count), keyword.allSatisfy({ $0 > 31 && !(127...160 ~= $0) })
    else {
      throw FormatError(
        .unsupported, "a PNG keyword has 1 to 79 printable characters", context: source.keyword)
    }
    guard !source.text.isEmpty, !source.text.utf8.contains(0) else {
      throw FormatError(
        .unsupported, "a PNG text must not be empty or contain NUL", context: source.keyword)
    }
    let isLatin = source.text.unicodeScalars.allSatisfy {
      $0 == "\n" || (32...126).contains($0.value) || (161...255).contains($0.value)
    }
    let bytes =
      isLatin
      ? source.text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
      : Array(source.text.utf8)
    text = .allocate(capacity: bytes.count + 1)
    for (index, byte) in bytes.enumerated() { text[index] = CChar(bitPattern: byte) }
    text[bytes.count] = 0
    empty = .allocate(capacity: 1)
    empty.pointee = 0

    var record = spng_text()
    withUnsafeMutableBytes(of: &record.keyword) { $0.copyBytes(from: keyword) }
    record.type = Int32((isLatin ? SPNG_TEXT : SPNG_ITXT).rawValue)
    record.text = text
    record.length = bytes.count
    record.language_tag = empty
    record.translated_keyword = empty
    self.record = record
  }

  deinit {
    text.deallocate()
    empty.deallocate()
  }

  /// The text of a chunk.
  static func text(_ record: spng_text) -> PNG.Text {
    let keyword = withUnsafeBytes(of: record.keyword) { Array($0.prefix { $0 != 0 }) }
    let bytes = UnsafeRawBufferPointer(start: record.text, count: record.length)
    let isUnicode = record.type == Int32(SPNG_ITXT.rawValue)
    return PNG.Text(
      keyword: latin(keyword),
      text: isUnicode ? String(decoding: bytes, as: UTF8.self) : latin(Array(bytes)))
  }

  private static func latin(_ bytes: [UInt8]) -> String {
    var view = String.UnicodeScalarView()
    for byte in bytes { view.append(Unicode.Scalar(byte)) }
    return String(view)
  }
}
