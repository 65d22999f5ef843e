import Foundation
import ModelFormats
import TestSupport
import Testing

/// Files that are truncated or changed while they are mapped.
@Suite struct ChangedFileTests {
  private static func file(_ count: Int, in folder: String) throws -> String {
    let path = folder + "/file"
    try Data(repeating: 7, count: count).write(to: URL(filePath: path))
    return path
  }

  @Test func truncatedBytesReadAsZerosAndAreTold() throws {
    MappedFile.surviveTruncation()
    MappedFile.surviveTruncation()
    try withTemporaryFolder { folder in
      let path = try Self.file(40_960, in: folder)
      let file = try MappedFile(path: path)
      try file.requireUnchanged()
      #expect(truncate(path, 10_000) == 0)
      let bytes = file.withBytes(in: 0..<file.count) { Array($0) }
      // The system fills the rest of the last page with zeros itself.
      #expect(bytes[..<10_000].allSatisfy { $0 == 7 } && bytes[10_000...].allSatisfy { $0 == 0 })
      let error = #expect(throws: FormatError.self) { try file.requireUnchanged() }
      #expect(error?.code == .inputOutput && error?.file == path)
      #expect(
        error?.message == "the file was truncated while it was read, from 40960 to 10000 bytes")
      // Its length back, the bytes that were lost stay lost.
      #expect(truncate(path, 40_960) == 0)
      #expect(throws: FormatError.self) { try file.requireUnchanged() }
      // The handler goes on for other files.
      let other = try MappedFile(path: path)
      #expect(truncate(path, 0) == 0)
      #expect(other.withBytes(in: 0..<40_960) { $0.allSatisfy { $0 == 0 } })
    }
  }

  @Test func changedBytesAreTold() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(100, in: folder)
      let file = try MappedFile(path: path)
      // The time of modification has the resolution of the kernel's clock.
      usleep(20_000)
      let handle = try #require(FileHandle(forWritingAtPath: path))
      try handle.write(contentsOf: Data([1]))
      try handle.close()
      let error = #expect(throws: FormatError.self) { try file.requireUnchanged() }
      #expect(error?.code == .inputOutput)
      #expect(error?.message == "the file was changed while it was read")
    }
  }

  @Test func anotherFileInItsPlaceChangesNothing() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(100, in: folder)
      let file = try MappedFile(path: path)
      try Data([1]).write(to: URL(filePath: folder + "/new"))
      #expect(rename(folder + "/new", path) == 0)
      try file.requireUnchanged()
      #expect(file.withBytes(in: 0..<100) { $0.allSatisfy { $0 == 7 } })
    }
  }

  @Test func readingWhatWasTruncatedIsAFailureOfReading() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(100, in: folder)
      let file = try MappedFile(path: path)
      #expect(truncate(path, 10) == 0)
      let writer = try FileWriter(path: folder + "/copy")
      let error = #expect(throws: FormatError.self) { try writer.copy(0..<100, of: file) }
      #expect(error?.code == .inputOutput && error?.offset == 10)
    }
  }

  /// Places in the handler's table come free again.
  @Test func thousandsOfFilesOneAfterTheOther() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(10, in: folder)
      for _ in 0..<10_000 { #expect(try MappedFile(path: path).count == 10) }
    }
  }
}
