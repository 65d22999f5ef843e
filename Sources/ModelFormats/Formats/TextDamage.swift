import OrderedJSON

/// What decoding a binary file as UTF-8 and encoding it again leaves: every byte that is no text
/// became U+FFFD, the three bytes EF BF BD.
enum TextDamage {
  private static let window = 1 << 20

  /// The error itself, or where the file shows this damage, an error that names it.
  static func explained(_ error: FormatError, _ file: MappedFile) -> FormatError {
    guard [.malformed, .truncated, .unrecognized].contains(error.code) else { return error }
    let ends = [
      0..<min(file.count, window), max(0, file.count - window)..<file.count,
    ]
    guard let count = ends.map({ replacements(in: $0, of: file) }).max(by: { $0 < $1 }), count > 0
    else { return error }
    return FormatError(
      .malformed,
      "this is a binary file that was decoded and written again as UTF-8 text: bytes that are no "
        + "text became U+FFFD (EF BF BD), \(count) times in \(min(file.count, window).of("byte"))",
      file: error.file, offset: 0,
      hint: "its values are lost; download or copy the file again in binary mode")
  }

  /// How often EF BF BD stands there; 0 where it is not a tenth of the bytes, as it is of damaged
  /// weights, of which half of all bytes are no text.
  private static func replacements(in range: Range<Int>, of file: MappedFile) -> Int {
    let count = unsafe file.withBytes(in: range) { bytes in
      var count = 0
      var index = 0
      while index + 2 < bytes.count {
        if unsafe bytes[index] == 0xEF && bytes[index + 1] == 0xBF && bytes[index + 2] == 0xBD {
          count += 1
          index += 3
        } else {
          index += 1
        }
      }
      return count
    }
    return count >= 16 && 30 * count >= range.count ? count : 0
  }
}
