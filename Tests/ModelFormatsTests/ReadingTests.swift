import CChecksum
import Foundation
import ModelFormats
import TestSupport
import Testing

/// Ways to read bytes that are mapped, in memory, or read in pieces: all give the same result.
@Suite struct ReadingTests {
  static let bytes = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

  @Test func mappedFileAndItsCopyInMemoryAreRead() throws {
    let directory = try ScratchDirectory()
    let mapped = try MappedFile(path: try directory.write(ReadingTests.bytes))
    for file in [mapped, MappedFile(contents: ReadingTests.bytes, path: "memory")] {
      for range in [0..<20_000, 0..<0, 20_000..<20_000, 4095..<12_289] {
        #expect(file.withBytes(in: range) { Array($0) } == Array(ReadingTests.bytes[range]))
        var target = [UInt8](repeating: 0, count: range.count)
        try target.withUnsafeMutableBytes { try file.read(into: $0, at: range.lowerBound) }
        #expect(target == Array(ReadingTests.bytes[range]))
      }
      // Released pages are read again.
      file.releasePages(in: 0..<20_000)
      file.releasePages(in: 5..<6)
      #expect(file.withBytes(in: 0..<20_000) { Array($0) } == ReadingTests.bytes)
    }
    let empty = MappedFile(contents: [], path: "memory")
    #expect(empty.count == 0)
    #expect(empty.withBytes(in: 0..<0) { $0.count } == 0)
  }

  @Test func checkpointInMemoryIsRead() throws {
    let bytes = TorchBuilder.archive().bytes
    let file = try TensorFile.read(MappedFile(contents: bytes, path: "memory"))
    #expect(file.path == "memory")
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
  }

  /// A file that another program cuts while it is read.
  @Test func fileThatBecomesShorterIsTold() throws {
    let directory = try ScratchDirectory()
    let path = try directory.write(ReadingTests.bytes)
    let file = try MappedFile(path: path)
    #expect(truncate(path, 10_000) == 0)
    var target = [UInt8](repeating: 0, count: 4000)
    let error = try #require(throws: FormatError.self) {
      try target.withUnsafeMutableBytes { try file.read(into: $0, at: 8000) }
    }
    #expect(error.code == .inputOutput)
    #expect(error.offset == 10_000)
    // The records' headers of an archive are read the same way.
    let archive = TorchBuilder.archive().bytes
    let second = try MappedFile(path: try directory.write(archive, as: "archive"))
    #expect(truncate(directory.path("archive"), 20) == 0)
    #expect(ftruncateAgain(directory.path("archive"), archive.count))
    #expect(throws: FormatError.self) { try TensorFile.read(second) }
  }

  /// Returns a file its length back, with zeros in place of what was cut.
  private func ftruncateAgain(_ path: String, _ count: Int) -> Bool {
    truncate(path, off_t(count)) == 0
  }

  /// Elements 3 to 8 and other ranges of a tensor, in any memory order.
  @Test(arguments: [0..<12, 3..<8, 0..<1, 11..<12, 5..<5, 4..<12])
  func elementsAreThoseOfTheWhole(_ range: Range<Int>) throws {
    let directory = try ScratchDirectory()
    let file = try MappedFile(path: try directory.write(ReadingTests.bytes))
    let bytes = Array(ReadingTests.bytes[..<200])
    let storages: [Tensor.Storage] = [
      .mapped(file, offset: 7), .memory(Array(bytes[..<24])),
      .strided(file, offset: 7, strides: [1, 3]), .strided(file, offset: 7, strides: [9, 2]),
      .strided(file, offset: 7, strides: [4, 1]), .strided(file, offset: 9, strides: [0, 0]),
      .stridedMemory(bytes, offset: 4, strides: [8, 1]),
      .stridedMemory(bytes, offset: 4, strides: [1, 20]),
    ]
    let buffer = BlockBuffer()
    for storage in storages {
      let tensor = Tensor(name: "t", dtype: .int16, shape: [3, 4], storage: storage)
      let whole = tensor.contiguousBytes()
      let part = try tensor.withElements(range, buffer) { Array($0) }
      #expect(part == Array(whole[(range.lowerBound * 2)..<(range.upperBound * 2)]))
      var pieces: [UInt8] = []
      tensor.withContiguousPieces(limit: 1024) { pieces += Array($0) }
      #expect(pieces == whole)
    }
  }

  @Test(arguments: [0..<96, 1..<2, 31..<33, 64..<96, 40..<40])
  func elementsOfBlocksAreThoseOfTheWhole(_ range: Range<Int>) throws {
    let file = MappedFile(contents: ReadingTests.bytes, path: "memory")
    let tensor = Tensor(
      name: "t", dtype: .float32, shape: [3, 32], storage: .blocks(file, offset: 100, .q80))
    let whole = tensor.contiguousBytes()
    let part = try tensor.withElements(range, BlockBuffer()) { Array($0) }
    #expect(part == Array(whole[(range.lowerBound * 4)..<(range.upperBound * 4)]))
  }

  @Test func recordsAreCheckedByTheirSums() throws {
    let directory = try ScratchDirectory()
    var wrong = TorchBuilder.archive()
    wrong.records[2].checksum = 1
    wrong.records.append(.deflated("archive/more", [1, 2, 3]))
    let check = try #require(try ArchiveCheck(try directory.write(wrong.bytes)))
    #expect(check.recordCount == 4)
    #expect((0..<4).map(check.byteCount) == [ZipTests.pickleSize, 2, 24, 3])
    #expect(check.problem(0) == nil)
    #expect(check.problem(3) == nil)
    let problem = try #require(check.problem(2))
    #expect(problem.code == .malformed)
    #expect(problem.message == "the record's CRC-32 does not match")
    #expect(problem.offset == ZipTests.storageData)
    #expect(problem.context == ZipTests.storageName)
    #expect(problem.file == directory.path("file"))
    #expect(try ArchiveCheck(try directory.write(safetensors("{}"), as: "s")) == nil)
    #expect(throws: FormatError.self) {
      try ArchiveCheck(try directory.write(Array(wrong.bytes.dropLast(9)), as: "cut"))
    }
  }

  /// The fast checksum equals zlib's, at every length, offset and start value.
  @Test func theChecksumIsZlibs() {
    let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 167 ^ $0 >> 5) }
    bytes.withUnsafeBytes { bytes in
      // crc32("123456789") is the check value that catalogues of CRCs give.
      #expect(sdk_crc32(0, "123456789", 9) == 0xCBF4_3926)
      for length in Array(0..<600) + [4096, 4999] {
        for start in [0, 1, 7] where start + length <= bytes.count {
          let base = bytes.baseAddress! + start
          for former in [0, 0x1234_5678, UInt32.max] {
            #expect(
              sdk_crc32(former, base, length) == sdk_crc32_plain(former, base, length),
              "\(length) bytes from \(start)")
          }
        }
      }
    }
  }

  /// A large file's space is reserved first; in the end it has its actual size.
  @Test func roomThatIsNotUsedIsGivenBack() throws {
    let directory = try ScratchDirectory()
    let contents = (0..<(21 << 20)).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 9) }
    let source = try MappedFile(path: try directory.write(contents, as: "source"))
    let writer = try FileWriter(path: directory.path("out"))
    try writer.checkSpace(for: 40 << 20)
    try writer.write([1, 2, 3])
    var seen = 0
    try writer.copy(5..<source.count, of: source) { seen += $0.count }
    #expect(seen == source.count - 5)
    try contents.withUnsafeBytes { try writer.write($0) }
    try writer.replace([7, 8], at: 2)
    try writer.commit()
    var expected = [1, 2, 3] + contents[5...] + contents
    expected.replaceSubrange(2..<4, with: [7, 8])
    #expect(try directory.contents("out") == expected)
  }

  /// Small pieces are gathered, and large ones are cut at multiples of a piece.
  @Test(arguments: [0..<100, 5..<5, 1..<600_000, 0..<(1 << 20)])
  func bytesOfAnotherFileAreCopied(_ range: Range<Int>) throws {
    let directory = try ScratchDirectory()
    let contents = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 ^ $0 >> 9) }
    let source = try MappedFile(path: try directory.write(contents, as: "source"))
    let writer = try FileWriter(path: directory.path("out"))
    try writer.write([1, 2, 3])
    try writer.copy(range, of: source)
    #expect(writer.position == 3 + range.count)
    try writer.write([4])
    try writer.commit()
    #expect(try directory.contents("out") == [1, 2, 3] + Array(contents[range]) + [4])

    let tensors = try SafetensorsWriter(
      path: directory.path("tensors"),
      tensors: [TensorInfo(name: "a", dtype: .uint8, shape: [range.count])])
    try tensors.copy(range, of: source)
    try tensors.commit()
    #expect(
      try TensorFile.open(directory.path("tensors"))["a"]?.contiguousBytes()
        == Array(contents[range]))
  }

  @Test func targetsThatAreNoFilesAreRefused() throws {
    let directory = try ScratchDirectory()
    try directory.write([1], as: "file")
    try FileManager.default.createSymbolicLink(
      atPath: directory.path("link"), withDestinationPath: directory.path("file"))
    #expect(mkfifo(directory.path("pipe"), 0o600) == 0)
    for (name, message) in [
      ("link", "the output path is a symbolic link"),
      ("pipe", "the output path is not a regular file"),
    ] {
      let error = try #require(throws: FormatError.self) {
        _ = try FileWriter(path: directory.path(name), overwrite: true)
      }
      #expect(error.code == .cannotCreate)
      #expect(error.message == message)
    }
    #expect(try directory.contents("file") == [1])
  }
}
