import Foundation
import Glibc

extension Tool {
  /// A program's output and resource use.
  package struct Measurement: Sendable {
    package let result: Result
    /// Seconds of both processors together, in the program and in the system for it, which other
    /// work on the machine does not lengthen.
    package let processorSeconds: Double
  }

  /// Runs `name` with at most `dataLimit` bytes of memory of its own.
  ///
  /// The limit is the kernel's on a process's data (`ulimit -d`): the heap and all anonymous
  /// memory that can be written, touched or not. Files that are mapped to be read do not count. A
  /// program that wants more gets none, and ends by a signal.
  package static func measure(
    _ name: String, _ arguments: [String], dataLimit: Int
  ) throws -> Measurement {
    try withTemporaryFolder { folder in
      let streams = ["out", "err"].map { "\(folder)/\($0)" }
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      defer { posix_spawn_file_actions_destroy(&actions) }
      posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
      for (index, path) in streams.enumerated() {
        posix_spawn_file_actions_addopen(
          &actions, Int32(index + 1), path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
      }
      let words =
        ["sh", "-c", "ulimit -d \"$0\" && exec \"$@\"", String(dataLimit >> 10)]
        + ["\(Tool.folder)/\(name)"] + arguments
      // Swift's crash report takes longer than what is measured.
      let environment = ProcessInfo.processInfo.environment.merging([
        "SWIFT_BACKTRACE": "enable=no"
      ]) { $1 }
      let argv = words.map { strdup($0) } + [nil]
      let envp = environment.map { strdup("\($0.key)=\($0.value)") } + [nil]
      defer { for text in argv + envp { free(text) } }
      var child = pid_t()
      let failure = posix_spawn(&child, "/bin/sh", &actions, nil, argv, envp)
      guard failure == 0 else { throw POSIXError(POSIXErrorCode(rawValue: failure) ?? .EIO) }
      var status: Int32 = 0
      var usage = rusage()
      while wait4(child, &status, 0, &usage) < 0, errno == EINTR {}
      let texts = try streams.map { try String(contentsOfFile: $0, encoding: .utf8) }
      let seconds = [usage.ru_utime, usage.ru_stime].reduce(0.0) {
        $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6
      }
      // As a shell counts: the exit status, or 128 and the signal.
      let code = status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F)
      return Measurement(
        result: Result(status: code, output: texts[0], errors: texts[1]),
        processorSeconds: seconds)
    }
  }
}
