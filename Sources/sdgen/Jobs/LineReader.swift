import Glibc
import ModelFormats
import Terminal

/// The lines of a file or stdin, each as soon as it is available.
final class LineReader {
  private let file: UnsafeMutablePointer<FILE>
  private let path: String
  private let isStandardInput: Bool

  /// Bytes before the last line, and of all lines so far.
  private(set) var start = 0
  private var position = 0

  /// The maximum line length, in bytes.
  static let limit = 1 << 20
  /// The number of bytes after which an overlong line is abandoned: a device may never end one.
  private static let patience = 16 << 20

  /// - Throws: ``Failure`` if the file cannot be opened.
  init(_ path: String) throws(Failure) {
    self.path = path
    isStandardInput = path == "-"
    guard let file = isStandardInput ? fdopen(STDIN_FILENO, "r") : fopen(path, "re") else {
      throw Failure(
        .noInput, code: "not-found", String(cString: strerror(errno)), file: path,
        hint: "pass a JSON Lines file, or - for stdin")
    }
    self.file = file
    InputFiles.shared.note(fileno(file), path: path)
  }

  deinit { if !isStandardInput { fclose(file) } }

  enum Line {
    case text(String)
    /// Skipped because it is longer than any job.
    case tooLong
    /// Not UTF-8 from this byte on.
    case notText(Int)
  }

  /// The next line without its line break; nil at the end, or if the user interrupted the wait.
  ///
  /// - Throws: ``Failure`` if reading fails.
  func next() throws(Failure) -> Line? {
    var bytes: [UInt8] = []
    var isTooLong = false
    start = position
    while true {
      let character = getc(file)
      guard character != EOF else {
        if ferror(file) != 0 {
          let number = errno
          if number == EINTR {
            // A partial line is not a job.
            if Interruption.isAsked { return nil }
            clearerr(file)
            continue
          }
          throw Failure(
            .inputOutput, code: "input-output", String(cString: strerror(number)), file: path)
        }
        guard isTooLong || !bytes.isEmpty else { return nil }
        break
      }
      position += 1
      if character == 10 { break }
      if bytes.count < Self.limit {
        bytes.append(UInt8(truncatingIfNeeded: character))
      } else {
        isTooLong = true
        guard position - start < Self.patience else {
          throw Failure(
            .data, code: "malformed", "a line exceeds \(Self.patience >> 20) MiB",
            file: path, offset: start, hint: "pass a JSON Lines file")
        }
      }
    }
    // A byte order mark before the first line is not part of its text.
    if start == 0, bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
      bytes.removeFirst(3)
      start = 3
    }
    if isTooLong { return .tooLong }
    do throws(UTF8.ValidationError) {
      _ = try UTF8Span(validating: bytes.span)
    } catch {
      return .notText(error.byteOffsets.lowerBound)
    }
    return .text(String(decoding: bytes, as: UTF8.self))
  }
}
