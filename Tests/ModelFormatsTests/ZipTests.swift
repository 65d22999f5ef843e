import ModelFormats
import TestSupport
import Testing

@Suite struct ZipTests {
  /// An archive that must be rejected, and the expected message.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let code: FormatError.Code
    let message: String
    let context: String?
    let offset: Int?

    init(
      _ name: String, _ bytes: [UInt8], _ code: FormatError.Code, _ message: String,
      at offset: Int?, in context: String? = nil
    ) {
      self.offset = offset
      testDescription = name
      self.bytes = bytes
      self.code = code
      self.message = message
      self.context = context
    }
  }

  static let pickleName = "archive/data.pkl"
  static let storageName = "archive/data/0"

  /// The archive with its third record, the storage, changed.
  static func changed(_ change: (inout ZipBuilder.Record) -> Void) -> [UInt8] {
    TorchBuilder.archive().with { change(&$0.records[2]) }.bytes
  }

  static func changedPickle(_ change: (inout ZipBuilder.Record) -> Void) -> [UInt8] {
    TorchBuilder.archive().with { change(&$0.records[0]) }.bytes
  }

  static func changedEnd(_ change: (inout ZipBuilder) -> Void) -> [UInt8] {
    TorchBuilder.archive().with(change).bytes
  }

  static let size = TorchBuilder.archive().bytes.count
  /// Three entries of 46 bytes and their names.
  static let directorySize =
    3 * 46 + "archive/data.pkl".utf8.count + "archive/version".utf8.count
    + "archive/data/0".utf8.count
  static let directoryOffset = size - 22 - directorySize

  static let end = size - 22
  /// Where the three records, their data, and their entries in the directory are.
  static let pickleSize = TorchBuilder.dictionary(TorchBuilder.tensor()).count
  static let pickleData = 30 + pickleName.utf8.count
  static let versionRecord = pickleData + pickleSize
  static let storageRecord = versionRecord + 30 + "archive/version".utf8.count + 2
  static let storageData = storageRecord + 30 + storageName.utf8.count
  static let pickleEntry = directoryOffset
  static let storageEntry =
    directoryOffset + 2 * 46 + pickleName.utf8.count + "archive/version".utf8.count

  static let refusals: [Refusal] = [
    Refusal(
      "cut short", Array(TorchBuilder.archive().bytes.dropLast(30)), .truncated,
      "the file is truncated: it has \(size - 30) bytes and lacks the archive's end, the list of "
        + "its records", at: size - 30),
    Refusal(
      "bytes after the end", TorchBuilder.archive().bytes + [0], .malformed,
      "1 byte follows the archive's end", at: size),
    Refusal(
      "several disks", changedEnd { $0.endDisk = 1 }, .unsupported,
      "the archive is one part of several", at: end),
    Refusal(
      "record on another disk", changed { $0.disk = 2 }, .unsupported,
      "the record lies in another part of the archive", at: storageEntry, in: storageName),
    Refusal(
      "directory elsewhere", changedEnd { $0.directoryOffset = 5 }, .malformed,
      "the end record gives the central directory's offset 5 and size \(directorySize) bytes, "
        + "but must end at \(size - 22)", at: end),
    Refusal(
      "bytes lost in between",
      Array(TorchBuilder.archive().bytes[..<100] + TorchBuilder.archive().bytes[104...]),
      .malformed,
      "the end record gives the central directory's offset \(directoryOffset) and size \(directorySize) bytes, "
        + "but must end at \(size - 26)", at: end - 4),
    Refusal(
      "more entries than fit", changedEnd { $0.count = 60000 }, .malformed,
      "60000 entries do not fit a central directory of \(directorySize) bytes", at: end),
    Refusal(
      "fewer entries than there are", changedEnd { $0.count = 2 }, .malformed,
      "the central directory goes on after its 2 entries", at: storageEntry),
    Refusal(
      "one entry too many", changedEnd { $0.count = 4 }, .malformed,
      "4 entries do not fit a central directory of \(directorySize) bytes", at: end),
    Refusal(
      "something else in the directory",
      changedEnd {
        $0.afterDirectory = [UInt8](repeating: 1, count: 60)
        $0.directorySize = directorySize + 60
        $0.count = 4
      }, .malformed, "missing central directory entry", at: end),
    Refusal(
      "two directories",
      changedEnd {
        $0.hasWideEnd = true
        $0.wideCount = 2
      }, .malformed,
      "the archive's two end records contradict each other", at: end + 76),
    Refusal(
      "wide end outside the file",
      changedEnd {
        $0.hasWideEnd = true
        $0.wideRecordOffset = 1 << 40
      },
      .malformed, "the zip64 locator gives the offset \(1 << 40), which is outside the file",
      at: end + 56 + 8),
    Refusal(
      "no wide end",
      changedEnd {
        $0.hasWideEnd = true
        $0.wideRecordOffset = 8
      }, .malformed,
      "no zip64 end record at the offset given by the locator", at: 8),
    Refusal(
      "encrypted", changed { $0.flags = 1 }, .unsupported, "the record is encrypted",
      at: storageEntry, in: storageName),
    Refusal(
      "strongly encrypted", changed { $0.flags = 0x40 }, .unsupported, "the record is encrypted",
      at: storageEntry, in: storageName),
    Refusal(
      "patch", changed { $0.flags = 0x20 }, .unsupported, "the record holds patch data",
      at: storageEntry, in: storageName),
    Refusal(
      "same name twice",
      TorchBuilder.archive(more: [ZipBuilder.Record(storageName, TorchBuilder.values)]).bytes,
      .malformed, "duplicate record name", at: directoryOffset, in: storageName
    ),
    Refusal(
      "another name in the record", changed { $0.localName = "archive/data/1" }, .malformed,
      "the name differs between the local header and the central directory",
      at: storageRecord,
      in: storageName),
    Refusal(
      "a longer name in the record", changed { $0.localName = "archive/data/10" }, .malformed,
      "the name differs between the local header and the central directory",
      at: storageRecord,
      in: storageName),
    Refusal(
      "another method in the record", changed { $0.localMethod = 8 }, .malformed,
      "the method differs between the local header and the central directory",
      at: storageRecord,
      in: storageName),
    Refusal(
      "another size in the record", changed { $0.localSize = 8 }, .malformed,
      "the size differs between the local header and the central directory",
      at: storageRecord,
      in: storageName),
    Refusal(
      "stored with two sizes", changed { $0.centralCompressedSize = 20 }, .malformed,
      "the record is stored, yet has 24 bytes in 20", at: storageEntry, in: storageName),
    Refusal(
      "record outside the archive", changed { $0.headerOffset = 1 << 30 }, .malformed,
      "the central directory gives the offset \(1 << 30), which is outside the archive",
      at: storageEntry,
      in: storageName),
    Refusal(
      "no record there", changed { $0.headerOffset = 3 }, .malformed,
      "no record at the offset given by the central directory", at: 3, in: storageName),
    Refusal(
      "another signature", changed { $0.signature = [0, 0, 0, 0] }, .malformed,
      "no record at the offset given by the central directory", at: storageRecord, in: storageName),
    Refusal(
      "record into the directory",
      changed {
        $0.flags = 8
        $0.size = 200
        $0.centralCompressedSize = 200
      }, .malformed, "the record's 200 bytes do not fit before the directory",
      at: storageEntry + 16, in: storageName),
    Refusal(
      "overlap",
      changedPickle {
        $0.flags = 8
        $0.size = $0.data.count + 40
        $0.centralCompressedSize = $0.data.count + 40
      }, .malformed,
      "the record overlaps \"archive/data.pkl\", which ends at "
        + "\(30 + pickleName.utf8.count + TorchBuilder.dictionary(TorchBuilder.tensor()).count + 40)",
      at: versionRecord + 16, in: "archive/version"),
    Refusal(
      "wrong CRC", changedPickle { $0.checksum = 1 }, .malformed,
      "the record's CRC-32 does not match", at: pickleData, in: pickleName),
    Refusal(
      "unknown compression", changedPickle { $0.method = 14 }, .unsupported,
      "the record is compressed by method 14", at: pickleData, in: pickleName),
    Refusal(
      "more than was announced",
      changedPickle {
        $0 = .deflated($0.name, $0.data)
        $0.size = 10
      }, .malformed, "the record inflates to more than its 10 bytes", at: pickleData, in: pickleName
    ),
    Refusal(
      "less than was announced",
      changedPickle {
        $0 = .deflated($0.name, [1, 2, 3])
        $0.size = 10
      }, .malformed, "the record's 8 of 8 bytes inflate to 3, not 10", at: pickleData,
      in: pickleName),
    Refusal(
      "bytes after the deflated data",
      changedPickle {
        $0 = .deflated($0.name, [1, 2, 3])
        $0.data += [0]
      }, .malformed, "the record's 8 of 9 bytes inflate to 3, not 3", at: pickleData, in: pickleName
    ),
    Refusal(
      "damaged deflated data",
      changedPickle {
        $0 = .deflated($0.name, [1, 2, 3])
        $0.data[0] = 7
      }, .malformed, "the record cannot be inflated: its data is damaged after 0 bytes",
      at: pickleData, in: pickleName),
    Refusal(
      "more than deflate can hold",
      changedPickle {
        $0 = .deflated($0.name, $0.data)
        $0.size = 5 << 20
      }, .malformed,
      "\(TorchBuilder.dictionary(TorchBuilder.tensor()).count + 5) deflated bytes cannot contain "
        + "the declared \(5 << 20)", at: pickleData, in: pickleName),
    Refusal(
      "no checkpoint", ZipBuilder([ZipBuilder.Record("readme.txt", [1])]).bytes, .unrecognized,
      "this is a zip archive without data.pkl, so it is not a PyTorch checkpoint; it contains readme.txt",
      at: nil),
    Refusal(
      "empty archive", ZipBuilder([]).bytes, .unrecognized,
      "this is a zip archive without data.pkl, so it is not a PyTorch checkpoint; it contains nothing",
      at: nil),
    Refusal(
      "two checkpoints",
      TorchBuilder.archive(more: [ZipBuilder.Record("other/data.pkl", [1])]).bytes, .malformed,
      "the archive holds more than one data.pkl", at: directoryOffset, in: "other/data.pkl"),
  ]

  @Test(arguments: refusals)
  func malformedArchiveIsRefused(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.code == refusal.code)
    #expect(error.message == refusal.message)
    #expect(error.context == refusal.context)
    #expect(error.offset == refusal.offset)
  }

  @Test(arguments: [
    "", "/etc/passwd", "../x", "a/../../x", "a\\b", "C:x", "a\nb", "/\u{301}x", "../\u{301}x",
    "a/\u{301}b/../\u{301}x",
  ])
  func nameThatLeavesTheArchiveIsRefused(_ name: String) throws {
    let bytes = TorchBuilder.archive(more: [ZipBuilder.Record(name, [1])]).bytes
    let error = try #require(try openingError(bytes))
    #expect(error.code == .malformed)
    #expect(error.message == "a record's name is not a path inside the archive")
    #expect(error.context == name)
  }

  /// Names that look alike but differ in bytes are different names: the Kelvin sign is not a K, and
  /// an é may be one character or two.
  @Test func namesThatLookAlikeAreTold() throws {
    let data: [UInt8] = [1, 2, 3]
    let names = ["archive/data/K", "archive/data/\u{212A}", "archive/\u{E9}", "archive/e\u{301}"]
    let more = names.map { ZipBuilder.Record($0, data) }
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(
      try directory.write(TorchBuilder.archive(more: more).bytes))
    #expect(file.tensors.map(\.name) == ["w"])

    let pickle = TorchBuilder.dictionary(
      TorchBuilder.tensor(
        storage: TorchBuilder.storage("ByteStorage", key: "K", count: 3),
        sizes: [3], strides: [1]))
    let alike = TorchBuilder.archive(pickle, more: [more[1]]).bytes
    let error = try #require(try openingError(alike))
    #expect(error.message == "its storage is missing: there is no record archive/data/K")
  }

  /// Bytes before an archive move every record: readers disagree about what that means.
  @Test func prependedDataIsRefused() throws {
    let bytes = Array("#!/bin/sh\n".utf8) + TorchBuilder.archive().bytes
    let error = try #require(try openingError(Array("PK\u{3}\u{4}".utf8) + bytes))
    #expect(error.code == .malformed)
    #expect(error.offset == ZipTests.end + 14)
    #expect(
      error.hint?.description
        == "do not trust this file (data was prepended); download it again")
  }

  /// An archive's records inflate to no more than 16 MiB and four times the file.
  @Test func bombIsNotInflated() throws {
    // 40,000 zeros deflate to a block of 60 bytes; 500 such records would be 20 MB.
    let zeros = [UInt8](repeating: 0, count: 40_000)
    let deflated = ZipBuilder.deflatedRun(of: 0, count: zeros.count)
    var pickle = pickle(0x80, 2, "}(")
    var records: [ZipBuilder.Record] = []
    for index in 0..<500 {
      let storage = TorchBuilder.storage("ByteStorage", key: "z\(index)", count: zeros.count)
      pickle += TorchBuilder.text("w\(index)")
      pickle += TorchBuilder.tensor(storage: storage, sizes: [zeros.count], strides: [1])
      var record = ZipBuilder.Record("archive/data/z\(index)", deflated)
      record.method = 8
      record.size = zeros.count
      record.checksum = ZipBuilder.checksum(zeros)
      records.append(record)
    }
    let bytes = TorchBuilder.archive(pickle + Array("u.".utf8), more: records).bytes
    let error = try #require(try openingError(bytes))
    #expect(error.code == .unsupported)
    #expect(
      error.message
        == "the storages that are compressed or big-endian take more than "
        + "\((16 << 20) + 4 * bytes.count) bytes")
    #expect(error.context == "w\(((16 << 20) + 4 * bytes.count) / zeros.count)")
  }

  @Test func deflatedPickleIsBounded() throws {
    // Half a megabyte that inflates to 300 MB: rejected before anything is inflated.
    let bytes = ZipTests.changedPickle {
      $0 = .deflated($0.name, $0.data)
      $0.size = (8 << 20) + 16 * $0.data.count + 1
    }
    let error = try #require(try openingError(bytes))
    #expect(error.code == .unsupported)
    #expect(
      error.message.hasSuffix("bytes; \((8 << 20) + 16 * (ZipTests.pickleSize + 5)) is the limit"))
    #expect(error.offset == 0)
    #expect(error.context == ZipTests.pickleName)
  }

  @Test func numberOfRecordsIsBounded() throws {
    let bytes = ZipTests.changedEnd {
      $0.hasWideEnd = true
      $0.count = 0xFFFF
      $0.wideCount = 131_073
    }
    let error = try #require(try openingError(bytes))
    #expect(error.code == .unsupported)
    #expect(error.message == "the archive holds 131073 records; 131072 is the limit")
    #expect(error.offset == ZipTests.end + 76)
  }

  @Test func nameThatIsNoTextIsRefused() throws {
    var bytes = TorchBuilder.archive().bytes
    bytes[ZipTests.directoryOffset + 46] = 0xFF
    let error = try #require(try openingError(bytes))
    #expect(error.message == "a record's name is not UTF-8")
    #expect(error.offset == ZipTests.directoryOffset)
  }

  @Test(arguments: [
    ("as it is", TorchBuilder.archive().bytes),
    ("wide end", changedEnd { $0.hasWideEnd = true }),
    ("wide sizes", changed { $0.writesWideSizes = true }),
    ("sizes after the data", changed { $0.flags = 0x0808 }),
    ("padded", changed { $0.padding = 37 }),
    ("comment", changedEnd { $0.comment = Array("a comment PK\u{5}\u{6}".utf8) }),
    ("deflated pickle", changedPickle { $0 = .deflated($0.name, $0.data) }),
    ("deflated storage", changed { $0 = .deflated($0.name, $0.data) }),
    ("folders", TorchBuilder.archive(more: [ZipBuilder.Record("archive/data/", [])]).bytes),
  ])
  func soundArchiveIsRead(name: String, bytes: [UInt8]) throws {
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(bytes))
    #expect(file.tensors.map(\.name) == ["w"])
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
  }

  /// Any single changed byte gives an error or tensors, never a trap.
  @Test func changedBytesDoNoHarm() throws {
    let sound = TorchBuilder.archive().with { $0.hasWideEnd = true }.bytes
    let directory = try ScratchDirectory()
    for position in sound.indices {
      var bytes = sound
      bytes[position] ^= position.isMultiple(of: 2) ? 0xFF : 1
      let path = try directory.write(bytes)
      do {
        for tensor in try TensorFile.open(path).tensors { _ = tensor.contiguousBytes() }
      } catch {
        #expect(error.file == path)
      }
    }
  }
}
