import Checkpoint
import Diffusion
import Foundation
import ModelFormats
import ModelGraph
import TestSupport
import Testing

@Suite struct ExportCacheTests {
  private static let decoder: Result<(Graph, [String: Tensor]), any Error> = Result {
    let vae = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).require(.vae)
    let graph = try vae.graph(.vaeDecoder)
    let pairs = try graph.parameters.map { ($0.name, try vae.tensor(named: $0.name)) }
    return (graph, Dictionary(uniqueKeysWithValues: pairs))
  }

  private static func entry(
    _ directory: String, limit: Int = .max, half: Bool = false, changed: Bool = false
  ) throws -> ExportCache.Entry {
    let (graph, tensors) = try decoder.get()
    return try ExportCache(directory, limit: limit).entry(graph, usesHalfPrecision: half) { name in
      let tensor = try #require(tensors[name])
      guard changed, name == graph.parameters.last?.name else { return tensor }
      let zeros = [Float](repeating: 0.5, count: tensor.elementCount)
      return Tensor(name: tensor.name, shape: tensor.shape, values: zeros)
    }
  }

  private static func withDirectory(_ body: (String) throws -> Void) throws {
    let path = FileManager.default.temporaryDirectory.path + "/cache-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  private static func names(_ directory: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
  }

  /// Equal weights are exported once; other weights or another dtype are another entry.
  @Test func keyedByContents() throws {
    try Self.withDirectory { directory in
      // The cache's own directory and its parents are created.
      let cache = directory + "/a/b"
      let first = try Self.entry(cache)
      func written() throws -> Date? {
        try FileManager.default.attributesOfItem(atPath: first.modelPath)[.modificationDate]
          as? Date
      }
      let date = try written()
      #expect(try Self.entry(cache).directory == first.directory)
      #expect(try written() == date)
      let others = [try Self.entry(cache, half: true), try Self.entry(cache, changed: true)]
      #expect(Set(others.map(\.directory) + [first.directory]).count == 3)
      #expect(try Self.names(cache).count == 3)
      #expect(try Self.names(cache).allSatisfy { $0.hasPrefix("vae_decoder-") })
    }
  }

  /// What is in use stays, the rest goes when room is needed.
  @Test func bounded() throws {
    try Self.withDirectory { directory in
      let held = try Self.entry(directory)
      _ = try Self.entry(directory, half: true)
      #expect(try Self.names(directory).count == 2)
      let last = try Self.entry(directory, limit: 1, changed: true)
      let left = try Self.names(directory).map { "\(directory)/\($0)" }
      #expect(Set(left) == [held.directory, last.directory])
    }
  }

  /// A directory without its model is not an entry: of a process that was killed, or of an entry that
  /// was being removed.
  @Test func unfinished() throws {
    try Self.withDirectory { directory in
      let path = try Self.entry(directory).directory
      try FileManager.default.removeItem(atPath: path + "/model.onnx")
      let names = try Self.names(path)
      #expect(!names.isEmpty)
      let again = try Self.entry(directory)
      #expect(again.directory == path && FileManager.default.fileExists(atPath: again.modelPath))
    }
  }

  @Test func severalAtOnce() async throws {
    let directory = FileManager.default.temporaryDirectory.path + "/cache-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let paths = try await withThrowingTaskGroup(of: String.self) { group in
      for _ in 0..<4 { group.addTask { try Self.entry(directory).directory } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(Set(paths).count == 1)
    #expect(try Self.names(directory).count == 1)
  }

  @Test func noPlace() throws {
    try Self.withDirectory { directory in
      try "a file".write(toFile: directory, atomically: true, encoding: .utf8)
      let error = #expect(throws: FormatError.self) { try Self.entry(directory + "/cache") }
      #expect(error?.code == .cannotCreate)
    }
  }
}
