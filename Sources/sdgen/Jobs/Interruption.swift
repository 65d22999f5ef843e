import Glibc
import ModelFormats
import Synchronization

/// Ctrl-C during generation: the first time, the current image is dropped and finished ones are
/// kept; the second time, the program quits.
enum Interruption {
  private static let presses = Atomic<Int>(0)
  private static let isQuiet = Atomic<Bool>(false)

  /// Whether to stop at the next opportunity.
  static var isAsked: Bool { presses.load(ordering: .relaxed) > 0 }

  /// Starts watching. An interrupt signal that was ignored at start stays ignored.
  ///
  /// - Parameter quiet: whether stderr must contain only an error's JSON.
  static func watch(quiet: Bool = false) {
    isQuiet.store(quiet, ordering: .relaxed)
    _ = isAsked
    var former = sigaction()
    sigaction(SIGINT, nil, &former)
    guard
      unsafeBitCast(former.__sigaction_handler.sa_handler, to: Int.self)
        != unsafeBitCast(SIG_IGN, to: Int.self)
    else { return }
    var action = sigaction()
    // No restart: this also ends a wait for the next job.
    action.sa_flags = 0
    action.__sigaction_handler.sa_handler = { number in
      if Interruption.presses.add(1, ordering: .relaxed).oldValue > 0 {
        FileWriter.removeUnfinished()
        _exit(128 + number)
      }
      guard !Interruption.isQuiet.load(ordering: .relaxed) else { return }
      let note: StaticString = "\nstopping after this evaluation; Ctrl-C again quits now\n"
      _ = note.withUTF8Buffer { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
    sigaction(SIGINT, &action, nil)
  }
}
