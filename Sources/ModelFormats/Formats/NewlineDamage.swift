import OrderedJSON

/// What a transfer as text leaves of a binary file: every CR LF became LF, or every LF became CR LF.
///
/// Random bytes hold a CR LF once in 65,536 bytes, and an LF once in 256 of which one in 256
/// follows a CR.
enum NewlineDamage {
  /// How far a file is looked through; enough to tell by.
  private static let limit = 16 << 20

  /// What became of the file whose length is wrong: `missing` bytes too few, or too many where
  /// negative; nil where the length has another reason.
  static func explanation(of file: MappedFile, missing: Int) -> String? {
    guard missing != 0 else { return nil }
    let (feeds, pairs) = counts(in: file)
    let looked = min(file.count, limit)
    if missing > 0 {
      // Where so many bytes hold no CR LF at all, they were taken away, one in 65,536 bytes.
      let expected = max(1, file.count >> 16)
      guard pairs == 0, feeds > 0, looked >= 128 << 10, missing <= 8 * expected else { return nil }
      return "\(missing.of("byte is", "bytes are")) missing and no CR LF is left: "
        + "each became LF, as in a transfer as text"
    }
    // Every LF follows a CR, and as many bytes are too many.
    guard pairs >= 4, pairs == feeds, looked < file.count || pairs >= -missing else { return nil }
    return "\((-missing).of("byte is", "bytes are")) too many and every LF follows a CR: "
      + "a transfer as text put it there"
  }

  static let hint: Remedy =
    "download the file again as it is; in a Git repository, mark such files as `binary` in "
    + ".gitattributes, or set `git config core.autocrlf false`"

  private static func counts(in file: MappedFile) -> (feeds: Int, pairs: Int) {
    var feeds = 0
    var pairs = 0
    unsafe file.withBytes(in: 0..<min(file.count, limit)) { bytes in
      var previous: UInt8 = 0
      for index in bytes.indices {
        let byte = unsafe bytes[index]
        if byte == 0x0A {
          feeds += 1
          if previous == 0x0D { pairs += 1 }
        }
        previous = byte
      }
    }
    return (feeds, pairs)
  }
}
