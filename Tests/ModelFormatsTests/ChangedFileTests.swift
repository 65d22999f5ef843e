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
        error?.message == "the file was truncated while being read, from 40960 to 10000 bytes")
      // After the length is restored, lost bytes stay lost.
      #expect(truncate(path, 40_960) == 0)
      #expect(throws: FormatError.self) { try file.requireUnchanged() }
      // The handler still works for other files.
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
      #expect(error?.message == "the file changed while being read")
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

  /// Slots in the handler's table are reused.
  @Test func thousandsOfFilesOneAfterTheOther() throws {
    try withTemporaryFolder { folder in
      let path = try Self.file(10, in: folder)
      for _ in 0..<10_000 { #expect(try MappedFile(path: path).count == 10) }
    }
  }
}

/// What a program remembers about its input files, and how it ends: each in its own process.
@Suite struct WatchedProcessTests {
  /// An inode number is reused after its file is removed; the new file is not an input.
  @Test func anotherFileOfTheSameNumberIsNoInput() async throws {
    let directory = try ScratchDirectory()
    let folder = directory.path
    await #expect(processExitsWith: .exitCode(7)) { [folder = folder as String] in
      InputFiles.watch()
      let path = folder + "/file"
      func number() -> UInt {
        var status = stat()
        return stat(path, &status) == 0 ? UInt(status.st_ino) : 0
      }
      func isInput() -> Bool {
        do throws(FormatError) {
          try InputFiles.shared.requireNoInput(at: path)
          return false
        } catch {
          return true
        }
      }
      for round in 0..<100 {
        try Data([1]).write(to: URL(filePath: path))
        let former = number()
        _ = try MappedFile(path: path).count
        // A closed file is still an input, under other names and after other changes too.
        guard isInput(), chmod(path, 0o600) == 0, isInput() else { exit(1) }
        unlink(path)
        // The time of birth has the resolution of the kernel's clock.
        usleep(20_000)
        try Data([2]).write(to: URL(filePath: path))
        let isSame = number() == former
        if isInput() { exit(2) }
        unlink(path)
        if isSame || round > 20 { exit(7) }
      }
    }
  }

  #if arch(x86_64)
    /// The instruction pointer is after a breakpoint: it does not recur by itself.
    @Test func aBreakpointEndsTheProgram() async {
      await #expect(processExitsWith: .signal(SIGTRAP)) {
        MemoryShortage.endProgram(saying: "no memory\n", status: 70)
        let code = mmap(
          nil, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let code, code != MAP_FAILED else { exit(2) }
        // int3; ret
        code.copyMemory(from: [0xCC, 0xC3] as [UInt8], byteCount: 2)
        unsafeBitCast(code, to: (@convention(c) () -> Void).self)()
        exit(0)
      }
    }
  #endif
}
