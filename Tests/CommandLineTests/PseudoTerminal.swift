import Foundation
import TestSupport

/// Runs a program with a terminal as its output, so that it behaves as for a user.
enum PseudoTerminal {
  /// What the program wrote to a terminal of this width, including stderr.
  static func run(
    _ name: String, _ arguments: [String], columns: Int, environment: [String: String] = [:]
  ) throws -> String {
    // What unlockpt and ptsname do, which Glibc's module leaves out.
    let primary = open("/dev/ptmx", O_RDWR | O_NOCTTY)
    var lock: Int32 = 0
    var number: UInt32 = 0
    guard primary >= 0, ioctl(primary, 0x4004_5431, &lock) == 0,
      ioctl(primary, 0x8004_5430, &number) == 0
    else { throw POSIXError(.ENXIO) }
    defer { close(primary) }
    let secondary = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY)
    var size = winsize()
    size.ws_col = UInt16(columns)
    size.ws_row = 24
    guard secondary >= 0, ioctl(secondary, UInt(TIOCSWINSZ), &size) == 0 else {
      throw POSIXError(.ENXIO)
    }
    let process = Process()
    process.executableURL = URL(filePath: "\(Tool.folder)/\(name)")
    process.arguments = arguments
    process.currentDirectoryURL = URL(filePath: Fixtures.root)
    var variables = ProcessInfo.processInfo.environment
    for name in ["COLUMNS", "NO_COLOR", "TERM"] { variables[name] = nil }
    process.environment = variables.merging(["TERM": "xterm"]) { $1 }.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle(fileDescriptor: secondary)
    process.standardError = FileHandle(fileDescriptor: secondary)
    try process.run()
    close(secondary)
    // Reading ends with an error when the program has closed its end.
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
      let count = read(primary, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      output += buffer[..<count]
    }
    process.waitUntilExit()
    return String(decoding: output, as: UTF8.self)
      .split(separator: "\r\n", omittingEmptySubsequences: false).joined(separator: "\n")
  }

  /// The text without its control sequences.
  static func plain(_ text: String) -> String {
    var result = ""
    var isSequence = false
    for character in text {
      if character == "\u{1B}" { isSequence = true }
      if !isSequence { result.append(character) }
      if isSequence, character.isLetter { isSequence = false }
    }
    return result
  }
}
