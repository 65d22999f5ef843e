import FlatFormat
import Foundation
import ModelFormats
import OrderedJSON
import Testing

/// A .sdflat file by itself, with component names that no model has.
@Suite struct FlatFileTests {
  private static let first: [UInt8] = (0..<24).map { UInt8($0) }
  private static let second = [UInt8](repeating: 7, count: 4)
  private static let text = Array(#"{"a": 1}"#.utf8)

  /// Writes two components and an embedded file to `path`.
  private static func write(_ path: String) throws {
    let header = FlatHeader(
      files: [.init(path: "one/config.json", region: .init(byteCount: text.count))],
      components: [
        .init(
          name: "one", architecture: "A", configuration: "one/config.json",
          tensors: [
            .init(
              name: "w", dtype: .float32, shape: [2, 3], region: .init(byteCount: first.count))
          ]),
        .init(
          name: "two", architecture: nil, configuration: nil,
          tensors: [
            .init(
              name: "w", dtype: .uint8, shape: [4], region: .init(byteCount: second.count))
          ]),
      ])
    let writer = try FlatWriter(path: path, header: header, overwrite: false)
    try writer.write(file: 0, text)
    for (component, bytes) in [first, second].enumerated() {
      try writer.begin(component: component, tensor: 0)
      try bytes.withUnsafeBytes { try writer.write($0) }
      writer.setChecksum(component: component, tensor: 0, Checksum.of(bytes))
    }
    try writer.commit(provenance: nil)
  }

  private func withFile(_ body: (String) throws -> Void) throws {
    let path = FileManager.default.temporaryDirectory.path + "/sdloom-\(UUID().uuidString).sdflat"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Self.write(path)
    try body(path)
  }

  @Test func readsWhatWasWritten() throws {
    try withFile { path in
      let file = try FlatFile(path: path)
      #expect(file.header.components.map(\.name) == ["one", "two"])
      #expect(file.header.components.map(\.architecture) == ["A", nil])
      #expect(file.contents(of: file.header.files[0]) == Self.text)
      let tensors = file.header.components.map { file.tensor($0.tensors[0]) }
      #expect(tensors.map(\.dtype) == [.float32, .uint8])
      #expect(tensors.map { $0.contiguousBytes() } == [Self.first, Self.second])
      #expect(try FlatFile.verify(path).isSound)
    }
  }

  @Test func damageIsNamed() throws {
    try withFile { path in
      var bytes = try [UInt8](Data(contentsOf: URL(filePath: path)))
      let file = try FlatFile(path: path)
      let start = file.range(file.header.components[1].tensors[0].region).lowerBound
      bytes[start] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let found = try FlatFile.verify(path)
      #expect(found.damages.map(\.subject) == ["two: w"])
      #expect(found.damages.map(\.offset) == [start])
    }
  }

  @Test(arguments: ["", ".hidden", "a/b", "ü", "a b"]) func namesThatAreNoDirectoryAreRefused(
    _ name: String
  ) throws {
    let header = FlatHeader(
      files: [],
      components: [.init(name: name, architecture: nil, configuration: nil, tensors: [])])
    let path = FileManager.default.temporaryDirectory.path + "/sdloom-\(UUID().uuidString).sdflat"
    let error = #expect(throws: FormatError.self) {
      _ = try FlatWriter(path: path, header: header, overwrite: false)
    }
    #expect(error?.code == .unsupported)
    #expect(!FileManager.default.fileExists(atPath: path))
  }
}
