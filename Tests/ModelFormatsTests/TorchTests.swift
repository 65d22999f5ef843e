import ModelFormats
import TestSupport
import Testing

@Suite struct TorchTests {
  /// A pickle that must be rejected, and the expected message.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let code: FormatError.Code
    let message: String
    let context: String
    let offset: Int

    /// - Parameter offset: where the file is wrong; the call that makes the tensor where not given.
    init(
      _ name: String, tensor: [UInt8], _ message: String, code: FormatError.Code = .malformed,
      at offset: ((Int) -> Int)? = nil
    ) {
      // Before the tensor, the pickle contains its protocol, a dictionary and the key.
      let call = ZipTests.pickleData + 3 + TorchBuilder.text("w").count + tensor.count - 1
      let pickle = TorchBuilder.dictionary(tensor)
      self.init(
        name, TorchBuilder.archive(pickle), code, message,
        at: offset?(pickle.count - ZipTests.pickleSize) ?? call, in: "w")
    }

    init(
      _ name: String, _ archive: ZipBuilder, _ code: FormatError.Code,
      _ message: String, at offset: Int, in context: String
    ) {
      self.offset = offset
      testDescription = name
      bytes = archive.bytes
      self.code = code
      self.message = message
      self.context = context
    }
  }

  static func rebuilding(_ function: String, _ arguments: [UInt8]) -> [UInt8] {
    pickle("ctorch._utils\n\(function)\n(", arguments, "tR")
  }

  static func record(_ name: String, _ text: String) -> ZipBuilder {
    TorchBuilder.archive().with { builder in
      builder.records.removeAll { $0.name == name }
      builder.records.append(ZipBuilder.Record(name, Array(text.utf8)))
    }
  }

  /// The storage's data, moved by the pickle's additional length.
  static func storageData(_ longer: Int) -> Int { ZipTests.storageData + longer }

  /// The offset of the data of the last record added by `record`.
  static let lastData =
    ZipTests.storageData + TorchBuilder.values.count + 30 + "archive/byteorder".utf8.count
  static let lastVersion =
    ZipTests.versionRecord + 30 + "archive/data/0".utf8.count + TorchBuilder.values.count + 30
    + "archive/version".utf8.count

  static let refusals: [Refusal] = [
    Refusal(
      "no record", tensor: TorchBuilder.tensor(storage: TorchBuilder.storage(key: "7")),
      "its storage is missing: there is no record archive/data/7"),
    Refusal(
      "a path as key",
      tensor: TorchBuilder.tensor(storage: TorchBuilder.storage(key: "../data.pkl")),
      "its storage is missing: there is no record archive/data/../data.pkl"),
    Refusal(
      "fewer elements than the record",
      tensor: TorchBuilder.tensor(
        storage: TorchBuilder.storage(count: 5), sizes: [5], strides: [1]),
      "its storage archive/data/0 has 24 bytes, not the declared 20", at: storageData),
    Refusal(
      "more elements than the record",
      tensor: TorchBuilder.tensor(storage: TorchBuilder.storage(count: 1 << 40)),
      "its storage archive/data/0 has 24 bytes, not the declared \(4 << 40)", at: storageData),
    Refusal(
      "elements beyond 64 bits",
      tensor: TorchBuilder.tensor(storage: TorchBuilder.storage(count: .max)),
      "the storage 0 has \(Int.max) elements"),
    Refusal(
      "negative elements", tensor: TorchBuilder.tensor(storage: TorchBuilder.storage(count: -6)),
      "the storage 0 has -6 elements"),
    Refusal(
      "beyond the storage", tensor: TorchBuilder.tensor(offset: 1),
      "it exceeds its storage 0 of 6 elements: offset 1, sizes [2, 3], strides [3, 1]"),
    Refusal(
      "stride beyond the storage", tensor: TorchBuilder.tensor(strides: [4, 1]),
      "it exceeds its storage 0 of 6 elements: offset 0, sizes [2, 3], strides [4, 1]"),
    Refusal(
      "stride beyond 64 bits", tensor: TorchBuilder.tensor(strides: [.max, .max]),
      "it exceeds its storage 0 of 6 elements: offset 0, sizes [2, 3], "
        + "strides [\(Int.max), \(Int.max)]"),
    Refusal(
      "offset beyond 64 bits", tensor: TorchBuilder.tensor(offset: .max, sizes: [1], strides: [1]),
      "it exceeds its storage 0 of 6 elements: offset \(Int.max), sizes [1], strides [1]"),
    Refusal(
      "negative offset", tensor: TorchBuilder.tensor(offset: -1),
      "an offset, size or stride is negative: -1, [2, 3], [3, 1]"),
    Refusal(
      "negative size", tensor: TorchBuilder.tensor(sizes: [-2, 3]),
      "an offset, size or stride is negative: 0, [-2, 3], [3, 1]"),
    Refusal(
      "negative stride", tensor: TorchBuilder.tensor(strides: [-3, 1]),
      "an offset, size or stride is negative: 0, [2, 3], [-3, 1]"),
    Refusal(
      "strides of another rank", tensor: TorchBuilder.tensor(strides: [1]),
      "it has 2 sizes and 1 strides"),
    Refusal(
      "elements that cannot be counted",
      tensor: TorchBuilder.tensor(sizes: [.max, .max], strides: [0, 0]),
      "the shape [\(Int.max), \(Int.max)] has too many elements"),
    Refusal(
      "expanded without bound", tensor: TorchBuilder.tensor(sizes: [1 << 40], strides: [0]),
      "it repeats 24 bytes until they are \(4 << 40)", code: .unsupported),
    Refusal(
      "too many dimensions",
      tensor: TorchBuilder.tensor(
        sizes: [Int](repeating: 1, count: 65), strides: [Int](repeating: 1, count: 65)),
      "_rebuild_tensor_v2: its offset, size or stride is not a number, or it has more than "
        + "64 dimensions"),
    Refusal(
      "no arguments", tensor: rebuilding("_rebuild_tensor_v2", []),
      "_rebuild_tensor_v2: an argument is missing"),
    Refusal(
      "no size", tensor: rebuilding("_rebuild_tensor_v2", pickle(TorchBuilder.storage(), "NNN")),
      "_rebuild_tensor_v2: its offset, size or stride is not a number, or it has more than "
        + "64 dimensions"),
    Refusal(
      "no storage", tensor: rebuilding("_rebuild_tensor_v2", pickle("NNNN")),
      "invalid storage reference"),
    Refusal(
      "a storage of three parts", tensor: rebuilding("_rebuild_tensor_v2", pickle("(NNNtQNNN")),
      "invalid storage reference"),
    Refusal(
      "untyped storage without type",
      tensor: TorchBuilder.tensor(storage: TorchBuilder.storage("UntypedStorage", count: 24)),
      "_rebuild_tensor_v2: its storage has no type"),
    Refusal(
      "type that is none",
      tensor: rebuilding(
        "_rebuild_tensor_v3",
        pickle(
          TorchBuilder.storage("UntypedStorage", count: 24), "K", 0, TorchBuilder.tuple([24]),
          TorchBuilder.tuple([1]), 0x89, "NN")), "_rebuild_tensor_v3: its type is missing"),
    Refusal(
      "parameter of nothing", tensor: rebuilding("_rebuild_parameter", pickle("N")),
      "_rebuild_parameter: its argument is not a tensor"),
    Refusal(
      "version that is none", record("archive/version", "x"), .malformed,
      "the archive's version is not a number", at: lastVersion, in: "archive/version"),
    Refusal(
      "version of the future", record("archive/version", "11\n"), .unsupported,
      "unsupported archive version 11 (maximum 10)", at: lastVersion, in: "archive/version"),
    Refusal(
      "byte order that is none", record("archive/byteorder", "middle"), .malformed,
      "the byte order is neither little nor big", at: lastData, in: "archive/byteorder"),
    Refusal(
      "byte order of many bytes",
      record("archive/byteorder", String(repeating: "x", count: 100)), .unsupported,
      "the record has 100 bytes; 64 is the limit",
      at: lastData - 30 - "archive/byteorder".utf8.count, in: "archive/byteorder"),
    Refusal(
      "not a pickle", TorchBuilder.archive(pickle("N")), .truncated,
      "the pickle ends early: needs 1 byte, but only 0 remain", at: ZipTests.pickleData + 1,
      in: "archive/data.pkl"),
    Refusal(
      "nested too deeply",
      TorchBuilder.archive(
        pickle(
          String(repeating: "(", count: 300), "N", String(repeating: "l", count: 300), ".")),
      .unsupported, "objects are nested more than 200 deep",
      // The outermost list is made last; the 201st is 200 earlier.
      at: ZipTests.pickleData + 300 + 1 + 299 - 200,
      in: [String](repeating: "0", count: 200).joined(separator: ".")),
  ]

  @Test(arguments: refusals)
  func malformedCheckpointIsRefused(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.code == refusal.code)
    #expect(error.message == refusal.message)
    #expect(error.context == refusal.context)
    #expect(error.offset == refusal.offset)
  }

  /// A thousand tensors of 64 MiB each, all of the same four bytes.
  @Test func sumOfRepeatedValuesIsBounded() throws {
    var bytes = pickle(0x80, 2, "}(")
    let tensor = TorchBuilder.tensor(sizes: [16 << 20], strides: [0])
    bytes += TorchBuilder.text("first") + tensor + pickle("q", 1)
    for index in 0..<3 { bytes += TorchBuilder.text("w\(index)") + pickle("h", 1) }
    let archive = TorchBuilder.archive(bytes + pickle("u."))
    let error = try #require(try openingError(archive.bytes))
    #expect(error.code == .malformed)
    #expect(
      error.message
        == "the tensors repeat their storages to more than 16 times the file's "
        + "\(archive.bytes.count) bytes")
    // The first 64 MiB is allowed, the second is not.
    #expect(error.context == "w0")
    let one = TorchBuilder.archive(TorchBuilder.dictionary(tensor)).bytes
    #expect(try openingError(one) == nil)
  }

  @Test(arguments: [(65536, nil), (65537, "the file contains more than 65536 tensors")])
  func numberOfTensorsIsBounded(count: Int, message: String?) throws {
    // One tensor under many names; each name is long enough to pay for its traversal.
    var bytes = pickle(0x80, 2, TorchBuilder.tensor(sizes: [0], strides: [1]), "q", 1, "0](")
    let padding = TorchBuilder.text(String(repeating: "x", count: 30)) + pickle("0")
    for _ in 0..<count { bytes += padding + pickle("h", 1) }
    let error = try openingError(TorchBuilder.archive(bytes + pickle("e.")).bytes)
    #expect(error?.message == message)
    if message != nil {
      #expect(error?.code == .unsupported)
      #expect(error?.context == "65536")
    }
  }

  /// Each list contains the one before it twice: 2^100 paths in a thousand bytes.
  @Test func sharedNodesDoNotMultiply() throws {
    var bytes = pickle("]", 0x94)
    for index in 0..<100 { bytes += pickle("](h", index, "h", index, "e", 0x94) }
    let error = try #require(
      try openingError(TorchBuilder.archive(bytes + pickle(".")).bytes))
    #expect(error.code == .malformed)
    #expect(error.message == "the object expands far beyond the size of the pickle")
  }

  @Test func tiedTensorStandsUnderEveryName() throws {
    let tensor = TorchBuilder.tensor()
    let bytes = pickle(
      0x80, 2, "}(", TorchBuilder.text("a"), tensor, "q", 9, TorchBuilder.text("b"), "h", 9, "u.")
    #expect(try names(of: bytes) == ["a", "b"])
  }

  @Test func cycleIsWalkedOnce() throws {
    let bytes = pickle(
      0x80, 2, "}q", 0, TorchBuilder.text("self"), "h", 0, "s", TorchBuilder.text("w"),
      TorchBuilder.tensor(), "s.")
    #expect(try names(of: bytes) == ["w"])
  }

  /// A key that is set twice keeps its position and gets the last value, as in Python.
  @Test func lastValueOfAKeyCounts() throws {
    let bytes = pickle(
      0x80, 2, "}(", TorchBuilder.text("w"), "N", TorchBuilder.text("v"), TorchBuilder.tensor(),
      TorchBuilder.text("w"), TorchBuilder.tensor(), "u.")
    #expect(try names(of: bytes) == ["w", "v"])
  }

  @Test func keysOfAnyTypeMakeNames() throws {
    let tensor = TorchBuilder.tensor()
    let bytes = pickle(
      0x80, 2, "}(", "K", 5, tensor, "N", tensor, 0x88, tensor, "(K", 1, TorchBuilder.text("a"),
      "t", tensor, "C", 2, "xy", tensor, "u.")
    #expect(try names(of: bytes) == ["5", "None", "True", "(1, a)", "xy"])
  }

  @Test func harmfulNamesAreReported() throws {
    let bytes = pickle(
      0x80, 2, "}(", TorchBuilder.text("x"), "cos\nsystem\n(", TorchBuilder.text("id"), "tR",
      TorchBuilder.text("y"), "cmy.own\nThing\n)R", TorchBuilder.text("w"), TorchBuilder.tensor(),
      "u.")
    let directory = try ScratchDirectory()
    let path = try directory.write(TorchBuilder.archive(bytes).bytes)
    let file = try TensorFile.open(path)
    let start = 30 + "archive/data.pkl".utf8.count
    #expect(
      file.warnings == [
        "dangerous: at byte \(start + 10) in archive/data.pkl the pickle names os.system, which runs "
          + "commands or changes files where Python unpickles it; nothing was run here",
        "unknown: objects of these classes were kept as data: my.own.Thing; unpickling imports them; "
          + "convert the file instead, which runs nothing",
      ])
    #expect(file["w"]?.contiguousBytes() == TorchBuilder.values)
  }

  static func typed(_ dtype: String, module: String = "torch") -> [UInt8] {
    rebuilding(
      "_rebuild_tensor_v3",
      pickle(
        TorchBuilder.storage("UntypedStorage", count: 24), "K", 0, TorchBuilder.tuple([24]),
        TorchBuilder.tuple([1]), 0x89, "Nc\(module)\n\(dtype)\n"))
  }

  static func flagged(_ flag: String) -> [UInt8] {
    rebuilding(
      "_rebuild_tensor_v2",
      pickle(
        TorchBuilder.storage(), "K", 0, TorchBuilder.tuple([2, 3]), TorchBuilder.tuple([3, 1]),
        0x89, "N}", TorchBuilder.text(flag), 0x88, "s"))
  }

  /// Known but unsupported tensors are left out with a warning, and do not affect others.
  @Test(
    arguments: [
      (
        TorchBuilder.tensor(storage: TorchBuilder.storage("QInt8Storage", count: 24)),
        "unsupported type torch.QInt8Storage; tensor skipped"
      ),
      (
        rebuilding(
          "_rebuild_tensor_v3",
          pickle(TorchBuilder.storage("QUInt8Storage", count: 24), "NNNNNN")),
        "unsupported type torch.QUInt8Storage; tensor skipped"
      ),
      (typed("bits4x2"), "unsupported type torch.bits4x2; tensor skipped"),
      (flagged("conj"), "unsupported view flag conj; tensor skipped"),
      (flagged("neg"), "unsupported view flag neg; tensor skipped"),
      (
        rebuilding("_rebuild_sparse_tensor", pickle("NN")),
        "unsupported constructor _rebuild_sparse_tensor; tensor skipped"
      ),
    ] as [([UInt8], String)])
  func whatIsNotReadIsLeftOut(tensor: [UInt8], warning: String) throws {
    let bytes = pickle(
      0x80, 2, "}(", TorchBuilder.text("x"), tensor, TorchBuilder.text("w"), TorchBuilder.tensor(),
      "u.")
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(TorchBuilder.archive(bytes).bytes))
    #expect(file.tensors.map(\.name) == ["w"])
    #expect(file.warnings.contains("x: \(warning)"))
  }

  /// Other ways to write a tensor: its size as `torch.Size`, a subclass that wraps the call.
  @Test(
    arguments: [
      rebuilding(
        "_rebuild_tensor_v2",
        pickle(
          TorchBuilder.storage(), "K", 0, "ctorch\nSize\n", TorchBuilder.tuple([2, 3]), 0x85, "R",
          TorchBuilder.tuple([3, 1]), 0x89, "}")),
      pickle(
        "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\n",
        "cmy\nParameter\n(", TorchBuilder.storage(), "K", 0, TorchBuilder.tuple([2, 3]),
        TorchBuilder.tuple([3, 1]), 0x89, "Nt}tR"),
      typed("uint8"),
    ] as [[UInt8]])
  func tensorIsReadHoweverWritten(_ tensor: [UInt8]) throws {
    let directory = try ScratchDirectory()
    let path = try directory.write(TorchBuilder.archive(TorchBuilder.dictionary(tensor)).bytes)
    #expect(try TensorFile.open(path)["w"]?.contiguousBytes() == TorchBuilder.values)
  }

  @Test func harmfulNamesWithoutEndAreTold() throws {
    var bytes = pickle("]")
    for index in 0..<20 { bytes += pickle("cos\nf\(index)\na") }
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(
      try directory.write(TorchBuilder.archive(bytes + pickle(".")).bytes))
    #expect(file.warnings.count == 20)
    #expect(file.warnings.allSatisfy { $0.hasPrefix("dangerous: at byte ") })
  }

  @Test func tensorWithoutValuesIsLeftOut() throws {
    let storage = TorchBuilder.storage(location: "meta")
    let bytes = TorchBuilder.dictionary(TorchBuilder.tensor(storage: storage))
    let directory = try ScratchDirectory()
    let file = try TensorFile.open(try directory.write(TorchBuilder.archive(bytes).bytes))
    #expect(file.tensors.isEmpty)
    #expect(file.warnings == ["w: saved without values (device meta); tensor skipped"])
  }

  private func names(of bytes: [UInt8]) throws -> [String] {
    let directory = try ScratchDirectory()
    let path = try directory.write(TorchBuilder.archive(bytes).bytes)
    return try TensorFile.open(path).tensors.map(\.name)
  }
}
