import Crypto
import ModelFormats
import OrderedJSON

/// One self-contained HTML file with style, data and script; its content security policy allows
/// only that script and no requests.
public struct Page: Sendable {
  /// The title of the page.
  public let title: String
  package let data: JSON

  package init(title: String, data: JSON) {
    self.title = title
    self.data = data
  }

  /// The whole file, in pieces for writing.
  public var pieces: [[UInt8]] {
    [
      Array(head.utf8), PageSource.style, Array("</style>\n</head>\n<body>\n".utf8),
      PageSource.body, Array("<script type=\"application/json\" id=\"data\">".utf8),
      Page.embedded(data), Array("</script>\n<script>".utf8), PageSource.script,
      Array("</script>\n</body>\n</html>\n".utf8),
    ]
  }

  /// Writes the page atomically to `path`.
  ///
  /// - Returns: the bytes written.
  /// - Throws: ``FormatError`` `cannotCreate` or `inputOutput`.
  public func write(to path: String, overwrite: Bool) throws(FormatError) -> Int {
    try write(to: FileWriter(path: path, overwrite: overwrite))
  }

  /// Writes the page to a file that was created earlier.
  public func write(to file: FileWriter) throws(FormatError) -> Int {
    for piece in pieces { try file.write(piece) }
    let count = file.position
    try file.commit()
    return count
  }

  private var head: String {
    let policy =
      "default-src 'none'; script-src '\(Page.digest(PageSource.script))'; "
      + "style-src '\(Page.digest(PageSource.style))'; base-uri 'none'; form-action 'none'"
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta http-equiv="Content-Security-Policy" content="\(policy)">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta name="generator" content="sdinspect">
      <title>\(Page.escaped(title))</title>
      <style>
      """
  }

  /// The SHA-256 of an inline script or style, in content security policy syntax.
  private static func digest(_ bytes: [UInt8]) -> String {
    "sha256-" + Base64.text(SHA256.hash(data: bytes))
  }

  /// JSON as the text of a script element: `<`, `>` and `&` occur only in strings and are escaped,
  /// so no name can end the element or open a comment. The writer already escapes U+2028 and
  /// U+2029.
  static func embedded(_ data: JSON) -> [UInt8] {
    var result: [UInt8] = []
    var text = data.text(.compact)
    text.withUTF8 { bytes in
      result.reserveCapacity(bytes.count + bytes.count / 64)
      for byte in bytes {
        switch byte {
        case UInt8(ascii: "<"): result += Array(#"\u003c"#.utf8)
        case UInt8(ascii: ">"): result += Array(#"\u003e"#.utf8)
        case UInt8(ascii: "&"): result += Array(#"\u0026"#.utf8)
        default: result.append(byte)
        }
      }
    }
    return result
  }

  /// Text escaped for HTML.
  static func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      case "\u{0}"..<"\u{20}", "\u{7F}": result += " "
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}

/// Base 64 of RFC 4648, with padding.
enum Base64 {
  static func text(_ bytes: some Sequence<UInt8>) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var result = ""
    var bits = 0
    var count = 0
    for byte in bytes {
      bits = (bits & 0xFF) << 8 | Int(byte)
      count += 8
      while count >= 6 {
        count -= 6
        result.append(alphabet[bits >> count & 63])
      }
    }
    if count > 0 { result.append(alphabet[bits << (6 - count) & 63]) }
    return result + String(repeating: "=", count: (4 - result.count % 4) % 4)
  }
}
