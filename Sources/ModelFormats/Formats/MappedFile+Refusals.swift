import OrderedJSON

/// What refusals say of a file's content.
extension MappedFile {
  /// Whether a PNG file has the text chunk in which the web UI stores an embedding.
  var holdsEmbedding: Bool {
    let head = unsafe withBytes(in: 0..<min(count, 1 << 20)) { unsafe [UInt8]($0) }
    return head.firstRange(of: Array("sd-ti-embedding\0".utf8)) != nil
  }

  /// Reads the size and hash that a pointer names.
  var lfsRefusal: FormatError {
    var stated: [String] = []
    let head = unsafe withBytes(in: 0..<min(count, 1024)) { unsafe [UInt8]($0) }
    let lines = String(decoding: head, as: UTF8.self).split(whereSeparator: \.isNewline)
    for line in lines {
      let words = line.split(separator: " ")
      guard words.count == 2 else { continue }
      if words[0] == "size", let size = Int(words[1]) { stated.append("\(size.of("byte"))") }
      if words[0] == "oid", words[1].hasPrefix("sha256:") {
        stated.insert("SHA-256 \(words[1].dropFirst(7))", at: stated.startIndex)
      }
    }
    stated.reverse()
    let what = stated.isEmpty ? "" : " of \(stated.joined(separator: ", "))"
    return FormatError(
      .unrecognized, "this is a Git LFS pointer to a file\(what), not the file itself",
      hint: "run `git lfs pull` in the repository, or download the file")
  }

  /// The beginning of a text, quoted and shortened.
  var beginning: String {
    let head = unsafe withBytes(in: 0..<min(count, 256)) { unsafe [UInt8]($0) }
    let text = String(decoding: head, as: UTF8.self).drop { $0 == "\u{FEFF}" }
    return Self.quoted(String(text)) ?? "nothing but white space"
  }

  /// The title of an HTML page, quoted and shortened.
  var htmlTitle: String? {
    let head = unsafe withBytes(in: 0..<min(count, 4096)) { unsafe [UInt8]($0) }
    let lowered = head.map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
    guard let open = lowered.firstRange(of: "<title".utf8),
      let start = lowered[open.upperBound...].firstIndex(of: UInt8(ascii: ">")),
      let end = lowered[start...].firstRange(of: "</title".utf8)
    else { return nil }
    let title = String(decoding: head[(start + 1)..<end.lowerBound], as: UTF8.self)
    return Self.quoted(title)
  }

  /// A text on one line, quoted and shortened; nil where there is none.
  private static func quoted(_ text: String) -> String? {
    let line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    guard !line.isEmpty else { return nil }
    return "\"\(line.prefix(40))\(line.count > 40 ? "…" : "")\""
  }

  /// The first eight bytes in hexadecimal.
  var firstBytes: String {
    let head = unsafe withBytes(in: 0..<min(count, 8)) { unsafe [UInt8]($0) }
    return head.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  }
}
