import Glibc
import ModelFormats
import OrderedJSON

/// The two output streams of a program: data on stdout, everything else on stderr.
public enum Console {
  /// Whether stderr is a terminal that understands control sequences.
  public static var isInteractive: Bool {
    isatty(STDERR_FILENO) == 1 && variable("TERM") != "dumb"
  }

  /// The width of the terminal on stdout; nil if it is not one. The environment variable COLUMNS
  /// overrides it.
  public static var width: Int? {
    guard isatty(STDOUT_FILENO) == 1 else { return nil }
    if let columns = variable("COLUMNS").flatMap({ Int($0) }), columns > 0 { return columns }
    var size = winsize()
    guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// Writes to stdout. If the reader is gone, the program ends quietly.
  public static func print(_ text: String) {
    write(text + "\n", to: STDOUT_FILENO)
  }

  /// Writes to stdout without a line break.
  public static func write(_ text: String) {
    write(text, to: STDOUT_FILENO)
  }

  /// Writes to stderr.
  public static func note(_ text: String) {
    write(text + "\n", to: STDERR_FILENO)
  }

  static func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
      var written = 0
      while written < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
        if count < 0 {
          if errno == EINTR { continue }
          if descriptor == STDOUT_FILENO {
            exit(errno == EPIPE ? 0 : ExitStatus.inputOutput.rawValue)
          }
          return
        }
        written += count
      }
    }
  }

  /// Text from a file with control characters escaped, so that a malicious name can neither control
  /// the terminal nor forge a line, nor look like another name. A byte of a file name that is not
  /// UTF-8 is shown as `\xE9`.
  public static func sanitized(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if let byte = FileName.byte(scalar) {
        result += "\\x" + String(byte, radix: 16, uppercase: true)
      } else if isControl(scalar) {
        result += "\\u{" + String(scalar.value, radix: 16) + "}"
      } else {
        result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value) || scalar.isInvisible
      || FileName.byte(scalar) != nil
  }

  /// The value of an environment variable.
  public static func variable(_ name: String) -> String? {
    getenv(name).map { FileName.text($0) }
  }

  /// Seconds since an arbitrary fixed time.
  public static func seconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
