import OrderedJSON

/// Damage by a text-mode transfer of a binary file: every CR LF became LF, or every LF became CR
/// LF.
///
/// Random bytes contain a CR LF once in 65,536 bytes, and an LF once in 256, of which one in 256
/// follows a CR.
enum NewlineDamage {
  /// How much of a file is examined; enough to decide.
  private static let limit = 16 << 20

  /// The damage of a file with a wrong length: `missing` bytes too few, or too many if negative;
  /// nil if the length has another cause.
  static func explanation(of file: MappedFile, missing: Int) -> String? {
    guard missing != 0 else { return nil }
    let (feeds, pairs) = counts(in: file)
    let looked = min(file.count, limit)
    if missing > 0 {
      // This many bytes without any CR LF means they were removed, one in 65,536 bytes.
      let expected = max(1, file.count >> 16)
      guard pairs == 0, feeds > 0, looked >= 128 << 10, missing <= 8 * expected else { return nil }
      return "\(missing.of("byte is", "bytes are")) missing and no CR LF is left: "
        + "a text-mode transfer turned them into LF"
    }
    // Every LF follows a CR, and that accounts for the excess bytes.
    guard pairs >= 4, pairs == feeds, looked < file.count || pairs >= -missing else { return nil }
    return "\((-missing).of("byte is", "bytes are")) too many and every LF follows a CR: "
      + "a text-mode transfer added it"
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
