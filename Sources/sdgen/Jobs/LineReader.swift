import Glibc
import Terminal

/// The lines of a file or of stdin, each as soon as it is there.
final class LineReader {
  private let file: UnsafeMutablePointer<FILE>
  private let path: String
  private let isStandardInput: Bool

  /// The longest line, in bytes.
  private static let limit = 1 << 20

  /// - Throws: ``Failure`` where the file cannot be opened.
  init(_ path: String) throws(Failure) {
    self.path = path
    isStandardInput = path == "-"
    guard let file = isStandardInput ? fdopen(STDIN_FILENO, "r") : fopen(path, "re") else {
      throw Failure(
        .noInput, code: "not-found", String(cString: strerror(errno)), file: path,
        hint: "give a file of JSON lines, or - for stdin")
    }
    self.file = file
  }

  deinit { if !isStandardInput { fclose(file) } }

  /// The next line without its end; nil where there is none.
  ///
  /// - Throws: ``Failure`` where reading fails or a line has no end.
  func next() throws(Failure) -> String? {
    var bytes: [UInt8] = []
    while true {
      let character = getc(file)
      guard character != EOF else {
        if ferror(file) != 0, errno != EINTR {
          throw Failure(
            .inputOutput, code: "input-output", String(cString: strerror(errno)), file: path)
        }
        break
      }
      if character == 10 { return String(decoding: bytes, as: UTF8.self) }
      guard bytes.count < Self.limit else {
        throw Failure(
          .data, code: "malformed", "a line is longer than \(Self.limit) bytes", file: path,
          hint: "a job is one JSON object on one line")
      }
      bytes.append(UInt8(truncatingIfNeeded: character))
    }
    return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
  }
}
