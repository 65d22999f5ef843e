import Glibc
import OrderedJSON
import Synchronization

/// The message printed when a signal ends a program, in preallocated memory, because a signal
/// handler may neither allocate nor lock.
public enum Interruption {
  private static let capacity = 4096
  private nonisolated(unsafe) static let text = UnsafeMutablePointer<UInt8>.allocate(
    capacity: capacity)
  private static let length = Atomic(0)
  private static let isJSON = Atomic(false)

  /// Allocates the memory, before the handler is installed.
  static func prepare(isJSON: Bool) {
    self.isJSON.store(isJSON, ordering: .relaxed)
    say("cancelled")
  }

  /// Sets the message, in an error object if the program prints JSON.
  public static func say(_ message: String) {
    var line = message + "\n"
    if isJSON.load(ordering: .relaxed) {
      line = Failure(.interrupted, code: "cancelled", message).json.text(.compact) + "\n"
    } else if Console.isInteractive {
      // First clear the progress line and the terminal's echo of the key.
      line = "\r\u{1B}[K" + line
    }
    length.store(0, ordering: .sequentiallyConsistent)
    var count = 0
    for byte in line.utf8.prefix(capacity) {
      text[count] = byte
      count += 1
    }
    length.store(count, ordering: .sequentiallyConsistent)
  }

  /// Writes it to stderr; called by the handler.
  static func write() {
    _ = Glibc.write(STDERR_FILENO, text, length.load(ordering: .sequentiallyConsistent))
  }
}
