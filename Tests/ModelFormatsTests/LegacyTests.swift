import ModelFormats
import TestSupport
import Testing

/// Files in the format before PyTorch 1.6; valid ones are in Fixtures/formats and the corpus.
@Suite struct LegacyTests {
  static let magic = pickle(
    0x80, 2, 0x8A, 10, [0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19], ".")
  static let version = pickle(0x80, 2, "M", 0xE9, 3, ".")
  static let machine = pickle(0x80, 2, "}.")

  static func storage(count: Int = 6, view: [UInt8] = pickle("N")) -> [UInt8] {
    pickle(
      "(", TorchBuilder.text("storage"), "ctorch\nFloatStorage\n", TorchBuilder.text("0"),
      TorchBuilder.text("cpu"), TorchBuilder.integer(count), view, "tQ")
  }

  static func view(offset: Int, count: Int) -> [UInt8] {
    pickle(
      TorchBuilder.text("1"), TorchBuilder.integer(offset), TorchBuilder.integer(count), 0x87)
  }

  /// Where the list of storages begins in `file()`, and where the storages begin.
  static let keysStart =
    magic.count + version.count + machine.count
    + TorchBuilder.dictionary(TorchBuilder.tensor(storage: storage())).count
  static let storagesStart = keysStart + pickle(0x80, 2, "](", TorchBuilder.text("0"), "e.").count
  /// The call that makes a tensor of a view, two bytes before the list of storages.
  static let viewStart =
    keysStart - 3 + view(offset: 1, count: 3).count - pickle("N").count

  static func file(
    version: [UInt8] = version,
    object: [UInt8] = TorchBuilder.dictionary(TorchBuilder.tensor(storage: storage())),
    keys: [UInt8] = pickle(0x80, 2, "](", TorchBuilder.text("0"), "e."),
    storages: [UInt8] = littleEndian(Int64(6)) + TorchBuilder.values
  ) -> [UInt8] {
    magic + version + machine + object + keys + storages
  }

  @Test(arguments: [
    (file(), 0, 6),
    (file(storages: littleEndian(Int64(6)) + TorchBuilder.values + [1, 2]), 1, 6),
    (
      file(
        object: TorchBuilder.dictionary(
          TorchBuilder.tensor(
            storage: storage(view: view(offset: 2, count: 3)), offset: 1, sizes: [2], strides: [1]))
      ), 0, 2
    ),
  ])
  func soundFileIsRead(bytes: [UInt8], warnings: Int, count: Int) throws {
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(bytes))
    #expect(file.warnings.count == warnings)
    // A view begins at element 2 of its storage, and this tensor at element 1 of the view.
    let values = count == 6 ? TorchBuilder.values : Array(TorchBuilder.values[12..<20])
    #expect(file["w"]?.contiguousBytes() == values)
  }

  /// A quantized tensor's storage is skipped by its size.
  @Test func quantizedStorageIsPassedOver() throws {
    let quantized = pickle(
      "(", TorchBuilder.text("storage"), "ctorch\nQInt32Storage\n", TorchBuilder.text("q"),
      TorchBuilder.text("cpu"), TorchBuilder.integer(2), "NtQ")
    let object = pickle(
      0x80, 2, "}(", TorchBuilder.text("x"), TorchBuilder.tensor(storage: quantized),
      TorchBuilder.text("w"), TorchBuilder.tensor(storage: LegacyTests.storage()), "u.")
    let keys = pickle(0x80, 2, "](", TorchBuilder.text("q"), TorchBuilder.text("0"), "e.")
    let storages =
      littleEndian(Int64(2)) + [1, 2, 3, 4, 5, 6, 7, 8] + littleEndian(Int64(6))
      + TorchBuilder.values
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(
      try directory.write(LegacyTests.file(object: object, keys: keys, storages: storages)))
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
    #expect(file.warnings == ["x: unsupported type torch.QInt32Storage; tensor skipped"])
  }

  /// Two references to one storage with different sizes: the first counts.
  @Test func storageOfTwoSizesIsRefused() throws {
    let object = pickle(
      0x80, 2, "}(", TorchBuilder.text("w"), TorchBuilder.tensor(storage: LegacyTests.storage()),
      TorchBuilder.text("x"),
      TorchBuilder.tensor(storage: LegacyTests.storage(count: 5), sizes: [5], strides: [1]), "u.")
    let error = try #require(try openingError(LegacyTests.file(object: object)))
    #expect(error.code == .malformed)
    #expect(error.message == "its storage 0 has 24 bytes, not the declared 20")
    #expect(error.context == "x")
    let wrong = pickle(0x80, 2, LegacyTests.storage(count: -1), ".")
    let negative = try #require(try openingError(LegacyTests.file(object: wrong)))
    #expect(negative.message == "the storage 0 has -1 elements")
    #expect(
      negative.offset == LegacyTests.magic.count + LegacyTests.version.count
        + LegacyTests.machine.count + wrong.count - 2)
  }

  @Test(
    arguments: [
      (
        "another version", file(version: pickle(0x80, 2, "K", 1, ".")),
        FormatError.Code.unsupported,
        "the file does not have protocol 1001",
        magic.count
      ),
      (
        "no list of storages", file(keys: pickle(0x80, 2, "N.")), .malformed,
        "the storage keys are not a list",
        keysStart
      ),
      (
        "a storage that the object lacks",
        file(keys: pickle(0x80, 2, "](", TorchBuilder.text("5"), "e.")), .malformed,
        "the storage keys include one that the object does not use",
        keysStart
      ),
      (
        "a storage that the list lacks", file(keys: pickle(0x80, 2, "]."), storages: []),
        .malformed,
        "its storage 0 is missing",
        keysStart - 3
      ),
      (
        "a storage that is duplicated",
        file(
          keys: pickle(0x80, 2, "](", TorchBuilder.text("0"), TorchBuilder.text("0"), "e."),
          storages: littleEndian(Int64(6)) + TorchBuilder.values + littleEndian(Int64(6))
            + TorchBuilder.values), .malformed, "storage 0 is duplicated",
        storagesStart + TorchBuilder.text("0").count + 32
      ),
      (
        "another count", file(storages: littleEndian(Int64(5)) + TorchBuilder.values), .malformed,
        "storage 0 has 5 elements, not the declared 6",
        storagesStart
      ),
      (
        "a count beyond 64 bits", file(storages: littleEndian(Int64.max) + TorchBuilder.values),
        .malformed, "storage 0 has \(Int64.max) elements, not the declared 6",
        storagesStart
      ),
      (
        "values that end early",
        file(storages: littleEndian(Int64(6)) + TorchBuilder.values.dropLast(4)), .truncated,
        "the file is truncated: storage 0 has 24 bytes, but only 20 remain",
        storagesStart + 8
      ),
      (
        "a count that ends early", file(storages: [6, 0]), .truncated,
        "the file ends early: needs 8 bytes, but only 2 remain",
        storagesStart
      ),
      (
        "a view beyond its storage",
        file(
          object: TorchBuilder.dictionary(
            TorchBuilder.tensor(storage: storage(view: view(offset: 4, count: 6))))), .malformed,
        "its view exceeds the storage 0",
        viewStart
      ),
      (
        "a tensor beyond its view",
        file(
          object: TorchBuilder.dictionary(
            TorchBuilder.tensor(storage: storage(view: view(offset: 1, count: 3))))), .malformed,
        "it exceeds its storage 0 of 3 elements: offset 0, sizes [2, 3], strides [3, 1]",
        viewStart
      ),
    ] as [(String, [UInt8], FormatError.Code, String, Int)])
  func malformedFileIsRefused(
    name: String, bytes: [UInt8], code: FormatError.Code, message: String, offset: Int
  ) throws {
    let error = try #require(try openingError(bytes))
    #expect(error.code == code)
    #expect(error.message == message)
    #expect(error.offset == offset)
  }
}
