import Foundation

/// Runs a program that this package built and returns its output.
public struct Tool: Sendable {
  public struct Result: Sendable {
    public let status: Int32
    public let output: String
    public let errors: String
  }

  /// Whether every user may run the built programs: a parent directory may deny others access.
  public static var isReachableByOthers: Bool {
    var place = URL(filePath: folder)
    while place.path != "/" {
      var status = stat()
      guard stat(place.path, &status) == 0, status.st_mode & S_IXOTH != 0 else { return false }
      place = place.deletingLastPathComponent()
    }
    return true
  }

  /// The directory of the built programs: the one that the test runner itself is in.
  public static let folder = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
    .deletingLastPathComponent().path

  /// Runs `name` with `arguments` in `directory` and waits for its end.
  public static func run(
    _ name: String, _ arguments: [String], in directory: String = Fixtures.root,
    environment: [String: String] = [:]
  ) throws -> Result {
    try launch(
      "\(folder)/\(name)", arguments, in: directory, environment: environment)
  }

  /// Runs the program at `path`; its output goes through files, so that no pipe can fill up.
  public static func launch(
    _ path: String, _ arguments: [String], in directory: String = Fixtures.root,
    environment: [String: String] = [:]
  ) throws -> Result {
    try withTemporaryFolder { folder in
      let streams = ["out", "err"].map { "\(folder)/\($0)" }
      for stream in streams { _ = FileManager.default.createFile(atPath: stream, contents: nil) }
      let process = Process()
      process.executableURL = URL(filePath: path)
      process.arguments = arguments
      process.currentDirectoryURL = URL(filePath: directory)
      process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
      process.standardInput = FileHandle.nullDevice
      process.standardOutput = FileHandle(forWritingAtPath: streams[0])
      process.standardError = FileHandle(forWritingAtPath: streams[1])
      try process.run()
      process.waitUntilExit()
      let texts = try streams.map { try String(contentsOfFile: $0, encoding: .utf8) }
      return Result(status: process.terminationStatus, output: texts[0], errors: texts[1])
    }
  }

  /// A Python with the light reference libraries, or nil: SDLOOM_PYTHON, else the project's .venv.
  public static var python: String? {
    let paths = [
      ProcessInfo.processInfo.environment["SDLOOM_PYTHON"], "\(Fixtures.root)/.venv/bin/python",
    ]
    return paths.compactMap { $0 }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }
}

/// Calls `body` with the path of a new directory, which is removed afterwards.
public func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
  let url = FileManager.default.temporaryDirectory.appending(path: "sdloom-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: url) }
  return try body(url.path)
}

extension Tool {
  /// The system's Python 3, with its standard library only.
  public static var systemPython: String? {
    ["/usr/bin/python3", "/usr/local/bin/python3"].first(
      where: FileManager.default.isExecutableFile)
  }
}
