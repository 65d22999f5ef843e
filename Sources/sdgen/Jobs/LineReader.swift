import Glibc
import ModelFormats
import Terminal

/// The lines of a file or of stdin, each as soon as it is there.
final class LineReader {
  private let file: UnsafeMutablePointer<FILE>
  private let path: String
  private let isStandardInput: Bool

  /// Bytes before the line that was read last, and of all lines so far.
  private(set) var start = 0
  private var position = 0

  /// The longest line, in bytes.
  static let limit = 1 << 20
  /// The bytes after which what is no job's line is not read to its end: a device may have none.
  private static let patience = 16 << 20

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
    InputFiles.shared.note(fileno(file), path: path)
  }

  deinit { if !isStandardInput { fclose(file) } }

  enum Line {
    case text(String)
    /// Left out, for it is longer than any job.
    case tooLong
    /// No UTF-8 from this byte of it on.
    case notText(Int)
  }

  /// The next line without its end; nil where there is none, or where the person stopped the wait.
  ///
  /// - Throws: ``Failure`` where reading fails.
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
            // Half a line is no job.
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
            .data, code: "malformed", "a line has more than \(Self.patience >> 20) MiB",
            file: path, offset: start, hint: "give a file of JSON lines")
        }
      }
    }
    // A byte-order mark before the first line is none of its text.
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
