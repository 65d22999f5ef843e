import Foundation
import ModelFormats
import Testing

@Suite struct FileWriterTests {
  @Test func committedFileHoldsEverythingAndLeavesNoTemporary() throws {
    let directory = try ScratchDirectory()
    let writer = try FileWriter(path: directory.path("out"))
    try writer.write([1, 2, 3])
    try writer.pad(toMultipleOf: 8)
    #expect(writer.position == 8)
    let large = [UInt8](repeating: 7, count: 3 << 20)
    try writer.write(large)
    try writer.write([9])
    try writer.replace([4, 5], at: 1)
    #expect(try directory.names.count <= 1)
    #expect(!FileManager.default.fileExists(atPath: directory.path("out")))
    try writer.commit()
    #expect(try directory.contents("out") == [1, 4, 5, 0, 0, 0, 0, 0] + large + [9])
    #expect(try directory.names == ["out"])
  }

  @Test func abandonedWriterLeavesNothing() throws {
    let directory = try ScratchDirectory()
    do {
      let writer = try FileWriter(path: directory.path("out"))
      try writer.write([1, 2, 3])
    }
    #expect(try directory.names == [])
  }

  @Test func existingTargetIsKeptUnlessOverwritten() throws {
    let directory = try ScratchDirectory()
    let path = try directory.write([1], as: "out")
    let error = try #require(throws: FormatError.self) { _ = try FileWriter(path: path) }
    #expect(error.code == .cannotCreate)
    #expect(error.hint == "pass \(set: .overwrite) to replace it, or choose another file")
    let writer = try FileWriter(path: path, overwrite: true)
    try writer.write([2])
    #expect(try directory.contents("out") == [1])
    try writer.commit()
    #expect(try directory.contents("out") == [2])
  }

  @Test func targetThatAppearsMeanwhileIsKept() throws {
    let directory = try ScratchDirectory()
    let writer = try FileWriter(path: directory.path("out"))
    try writer.write([2])
    try directory.write([1], as: "out")
    let error = try #require(throws: FormatError.self) { try writer.commit() }
    #expect(error.code == .cannotCreate)
    #expect(try directory.contents("out") == [1])
    #expect(try directory.names == ["out"])
  }

  @Test(arguments: [
    ("", "the output path is a directory", "name a file inside it"),
    ("/absent/out", "cannot create the output: No such file or directory", nil),
  ])
  func unusableTargetIsRefused(suffix: String, message: String, hint: String?) throws {
    let directory = try ScratchDirectory()
    let path = directory.path + suffix
    let error = try #require(throws: FormatError.self) { _ = try FileWriter(path: path) }
    #expect(error.code == .cannotCreate)
    #expect(error.message == message)
    #expect(
      error.hint?.description == hint ?? "create the directory \(directory.path)/absent first")
  }

  @Test func mappedSourceSurvivesItsReplacement() throws {
    let directory = try ScratchDirectory()
    let path = try directory.write([1, 2, 3], as: "file")
    let source = try MappedFile(path: path)
    let writer = try FileWriter(path: path, overwrite: true)
    try source.withBytes(in: 0..<3) { try writer.write($0) }
    try writer.write([4])
    try writer.commit()
    #expect(source.withBytes(in: 0..<3) { [UInt8]($0) } == [1, 2, 3])
    #expect(try directory.contents("file") == [1, 2, 3, 4])
  }

  @Test func fullDiskIsReported() throws {
    let directory = try ScratchDirectory()
    let writer = try FileWriter(path: directory.path("out"))
    let error = try #require(throws: FormatError.self) { try writer.checkSpace(for: 1 << 60) }
    #expect(error.code == .inputOutput)
    #expect(error.message.contains("No space left on device"))
    #expect(error.hint == "free some space, or write to another disk")
    #expect(try directory.names == [])
    #expect(throws: FormatError.self) { try writer.write([UInt8](repeating: 0, count: 2 << 20)) }
  }

  /// In a process of its own, since it removes the files of every writer in the process.
  @Test func signalHandlerCanRemoveUnfinishedFiles() async throws {
    let directory = try ScratchDirectory()
    let path = directory.path
    await #expect(processExitsWith: .exitCode(7)) { [path = path as String] in
      FileWriter.removeUnfinished()
      let finished = try FileWriter(path: path + "/finished")
      try finished.commit()
      let unfinished = try FileWriter(path: path + "/unfinished")
      try unfinished.write([1])
      FileWriter.removeUnfinished()
      _exit(7)
    }
    #expect(try directory.names == ["finished"])
  }

  /// An interrupt between the first file's appearance and the last's, in its own process.
  @Test func interruptionAmongFilesThatBelongTogetherLeavesNone() async throws {
    let directory = try ScratchDirectory()
    let path = directory.path
    await #expect(processExitsWith: .exitCode(7)) { [path = path as String] in
      FileWriter.removeUnfinished()
      let writers = try ["a", "b"].map { try FileWriter(path: "\(path)/\($0)") }
      for writer in writers {
        try writer.write([1])
        try writer.prepare()
      }
      try withExtendedLifetime(writers) {
        try writers[0].publish()
        guard access("\(path)/a", F_OK) == 0 else { _exit(1) }
        FileWriter.removeUnfinished()
        _exit(7)
      }
    }
    #expect(try directory.names == [])
  }

  /// A combining mark after a slash is not part of the directory's name, nor of the slash.
  @Test func nameThatBeginsWithAMarkIsWritten() throws {
    let directory = try ScratchDirectory()
    let writer = try FileWriter(path: directory.path("\u{301}out"))
    try writer.write([1])
    try writer.commit()
    #expect(try directory.contents("\u{301}out") == [1])
    let error = try #require(throws: FormatError.self) {
      try FileWriter(path: directory.path("missing/\u{301}out"))
    }
    #expect(error.code == .cannotCreate)
    #expect(error.hint?.description == "create the directory \(directory.path("missing")) first")
  }

  @Test func filesThatBelongTogetherFailTogether() throws {
    let directory = try ScratchDirectory()
    let writers = try ["a", "b", "c"].map { try FileWriter(path: directory.path($0)) }
    for writer in writers { try writer.write([1]) }
    _ = try directory.write([9], as: "b")
    let error = try #require(throws: FormatError.self) { try FileWriter.commit(writers) }
    #expect(error.code == .cannotCreate)
    #expect(try directory.names == ["b"])
    #expect(try directory.contents("b") == [9])
  }

  @Test func replacedFilesStayWhenOthersFail() throws {
    let directory = try ScratchDirectory()
    _ = try directory.write([9], as: "a")
    let replacing = try FileWriter(path: directory.path("a"), overwrite: true)
    let writers = try ["b", "c"].map { try FileWriter(path: directory.path($0)) }
    for writer in [replacing] + writers { try writer.write([1]) }
    _ = try directory.write([8], as: "c")
    #expect(throws: FormatError.self) { try FileWriter.commit([replacing] + writers) }
    #expect(try directory.names == ["a", "c"])
    #expect(try directory.contents("a") == [1])
    #expect(try directory.contents("c") == [8])
  }
}
