import Foundation
import ModelFormats
import Testing

/// A directory for the files of one test, removed with it.
final class ScratchDirectory {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/sdloom-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  func path(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ bytes: [UInt8], as name: String = "file") throws -> String {
    let path = path(name)
    // Foundation flushes its writes to disk, which takes most of a test's time.
    let file = try #require(fopen(path, "w"))
    defer { fclose(file) }
    try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    return path
  }

  func contents(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(filePath: path(name))))
  }

  /// The names of all files, including hidden ones.
  var names: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  }
}

/// The error thrown on opening these bytes; nil if they open.
func openingError(_ bytes: [UInt8]) throws -> FormatError? {
  let directory = try ScratchDirectory()
  let path = try directory.write(bytes)
  do {
    _ = try TensorFile.open(path)
    return nil
  } catch {
    guard error.file == path else { throw error }
    return error
  }
}
