import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

@Suite struct ONNXTests {
  typealias PB = ProtobufBuilder

  /// Files that the `onnx` package wrote; Fixtures/formats/make_onnx.py made them.
  static let files = ExpectedFile.manifest(Fixtures.path("formats/onnx.json"))

  @Test(arguments: files)
  func fileHoldsWhatItsReferenceReads(_ expected: ExpectedFile) throws {
    let file = try TensorFile.open(Fixtures.path("formats/\(expected.file)"))
    #expect(file.format == .onnx)
    #expect(try TensorFile.sniff(file.path) == .onnx)
    expected.check(file)
  }

  @Test func fixturesAreThere() {
    #expect(ONNXTests.files.map { $0.tensors?.members.count } == [44, 2])
  }

  @Test func modelSaysWhatItIs() throws {
    let file = try TensorFile.open(Fixtures.path("formats/types.onnx"))
    #expect(
      file.metadata.map { "\($0.key)=\($0.value)" } == [
        "ir_version=14", "producer_name=make_onnx.py", "producer_version=1", "opset ai.onnx=21",
        "opset our.own=1", "graph=types", "input x=F32 [batch, 3]", "input flag=BOOL []",
        "output w=F16", "nodes=7", "operator Constant=2", "operator Identity=2", "operator Add=1",
        "operator If=1", "operator our.own.Custom=1", "constants=1 of 32 bytes", "note=a β",
      ])
    #expect(
      file.warnings == [
        "int4: unsupported type INT4; tensor skipped",
        "texts: unsupported type STRING; tensor skipped",
      ])
  }

  @Test func valuesAreUsedInPlace() throws {
    let file = try TensorFile.open(Fixtures.path("formats/types.onnx"))
    for name in ["raw.float32", "typed.float32", "typed.complex128"] {
      guard case .mapped? = file[name]?.storage else {
        Issue.record("\(name) is not used in place")
        continue
      }
    }
    let external = try TensorFile.open(Fixtures.path("formats/external.onnx"))
    #expect(external["first"]?.file?.path == Fixtures.path("formats/external.onnx.data"))
    #expect(external["second"]?.offset == 80)
    #expect(
      external.files
        == ["external.onnx", "external.onnx.data"].map {
          Fixtures.path("formats/\($0)")
        })
  }

  /// Opens a model that is with other files in a directory of its own.
  private func open(_ model: [UInt8], beside files: [String: [UInt8]] = [:]) throws -> TensorFile {
    let directory = try ScratchDirectory()
    for (name, bytes) in files {
      try FileManager.default.createDirectory(
        atPath: directory.path(name.split(separator: "/").dropLast().joined(separator: "/")),
        withIntermediateDirectories: true)
      try directory.write(bytes, as: name)
    }
    return try TensorFile.open(try directory.write(model, as: "model.onnx"))
  }

  /// Repeated fields may be packed, one by one, or mixed.
  @Test func unpackedFieldsAreRead() throws {
    let floats = [1.5, -2] as [Float]
    let single = floats.flatMap { PB.tag(4, 5) + littleEndian($0.bitPattern) }
    let doubles = [0.25, -8].flatMap { PB.tag(10, 1) + littleEndian($0.bitPattern) }
    let mixed = PB.integer(7, -1) + PB.bytes(7, PB.varint(300))
    let halves = PB.tag(4, 5) + littleEndian(Float(3).bitPattern)
    let file = try open(
      PB.model(
        PB.tensor("f", type: 1, single), PB.tensor("d", type: 11, doubles),
        PB.tensor("i", type: 7, mixed),
        PB.tensor(
          "m", type: 1, dims: [],
          PB.bytes(1, PB.varint(2))
            + PB.bytes(4, littleEndian(Float(2).bitPattern)) + halves)))
    #expect(file["f"]?.contiguousBytes() == floats.flatMap { littleEndian($0.bitPattern) })
    #expect(file["d"]?.contiguousBytes() == [0.25, -8].flatMap { littleEndian($0.bitPattern) })
    #expect(file["i"]?.contiguousBytes() == littleEndian(Int64(-1)) + littleEndian(Int64(300)))
    #expect(file["m"]?.shape == [2])
    #expect(
      file["m"]?.contiguousBytes()
        == [2, 3].flatMap { littleEndian(Float($0).bitPattern) })
  }

  @Test func externalDataInASubdirectoryIsRead() throws {
    let message = PB.tensor(
      PB.pair(13, "location", "./data/w.bin"), PB.pair(13, "offset", "1"),
      PB.pair(13, "checksum", "none"), PB.integer(14, 1))
    let file = try open(PB.model(message), beside: ["data/w.bin": [9, 8, 7]])
    #expect(file["w"]?.contiguousBytes() == [8, 7])
  }

  /// Tensors may share external data, but not so often that reading them takes forever.
  @Test func repeatedExternalDataIsRefused() throws {
    let size = 1 << 20
    let tensors = (0..<100).map { index in
      PB.tensor(
        "t\(index)", dims: [size], PB.pair(13, "location", "w.bin") + PB.integer(14, 1))
    }
    let data = [UInt8](repeating: 0, count: size)
    func model(_ count: Int) -> [UInt8] { PB.model(tensors.prefix(count).flatMap { $0 }) }
    #expect(try open(model(80), beside: ["w.bin": data]).tensors.count == 80)
    let error = try #require(throws: FormatError.self) {
      try open(model(81), beside: ["w.bin": data])
    }
    #expect(error.code == .malformed)
    #expect(
      error.message
        == "the tensors repeat the external data until they hold more than 16 times its "
        + "1048576 bytes")
    #expect(error.context == "t80")
  }

  @Test func sparseInitializersAreWarnedOf() throws {
    let file = try open(PB.model(PB.tensor(), PB.bytes(15), PB.bytes(15)))
    #expect(file.warnings == ["2 sparse initializers are not read and are left out"])
  }

  /// An invalid model, the expected message, and the text or number at its offset.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let message: String
    let context: String?
    let code: FormatError.Code

    init(
      _ name: String, _ bytes: [UInt8], _ message: String, in context: String? = "w",
      _ code: FormatError.Code = .malformed
    ) {
      testDescription = name
      self.bytes = bytes
      self.message = message
      self.context = context
      self.code = code
    }

    /// A model of one tensor.
    init(
      _ name: String, tensor: [UInt8], _ message: String, in context: String? = "w",
      _ code: FormatError.Code = .malformed
    ) {
      self.init(name, ProtobufBuilder.model(tensor), message, in: context, code)
    }

    /// A model of one tensor of two bytes with external data.
    static func external(
      _ name: String, _ pairs: [(String, String)], _ message: String,
      _ code: FormatError.Code = .malformed
    ) -> Refusal {
      let data = pairs.flatMap { ProtobufBuilder.pair(13, $0, $1) }
      return Refusal(
        name, tensor: ProtobufBuilder.tensor(data + ProtobufBuilder.integer(14, 1)),
        message, code)
    }
  }

  static let refusals = wrongMessages + wrongTensors + wrongExternalData

  static let wrongMessages: [Refusal] = [
    Refusal(
      "cut graph", PB.integer(1, 8) + PB.tag(7, 2) + PB.varint(100) + PB.tensor(),
      "the model has a field 7 of 100 bytes where 13 are left", in: nil, .truncated),
    Refusal(
      "two graphs", PB.model(PB.tensor()) + PB.bytes(7, PB.tensor()), "the model has two graphs",
      in: nil),
    Refusal(
      "number without an end", PB.model(PB.tensor(), PB.text(2, "g"), [0x08, 0x80]),
      "the graph ends inside a number", in: nil),
    Refusal(
      "number of 70 bits",
      PB.model(PB.tensor(), [0x08] + [UInt8](repeating: 0xFF, count: 9) + [0x02]),
      "the graph has a number of more than 64 bits", in: nil),
    Refusal(
      "group", PB.model(PB.tensor(), [0x0B]), "the graph has a field 1 of the wire type 3",
      in: nil),
    Refusal(
      "field 0", PB.model(PB.tensor(), [0x02, 0]), "the graph has a field with the number 0",
      in: nil),
    Refusal(
      "message beyond its parent", PB.model(PB.tensor(), PB.tag(1, 2) + PB.varint(9)),
      "the graph has a field 1 of 9 bytes where 0 are left", in: nil),
    Refusal(
      "node that is a number", PB.model(PB.tensor(), PB.integer(1, 1)),
      "the graph has a field 1 of another kind than it must be", in: nil),
    Refusal(
      "text that is none", PB.model(PB.tensor(), PB.bytes(2, [0xFF])),
      "the graph has a text that is not UTF-8", in: nil),
    Refusal(
      "giant text", PB.model(PB.tensor(), PB.bytes(2, [UInt8](repeating: 97, count: 2 << 20))),
      "the graph has a text of 2097152 bytes", in: nil),
    Refusal(
      "deep graphs", PB.model(PB.tensor(), deepNodes(20)),
      "graphs lie more than 16 deep inside one another", in: nil, .unsupported),
  ]

  /// A node with a graph of a node with a graph, and so on.
  static func deepNodes(_ depth: Int) -> [UInt8] {
    var node: [UInt8] = []
    for _ in 0..<depth { node = PB.bytes(1, PB.bytes(5, PB.bytes(6, node))) }
    return node
  }

  static let wrongTensors: [Refusal] = [
    Refusal("no name", tensor: PB.tensor(""), "an initializer has no name", in: nil),
    Refusal("no type", tensor: PB.tensor(type: nil), "a tensor has no type"),
    Refusal(
      "duplicate", PB.model(PB.tensor(), PB.tensor()), "two initializers have this name"),
    Refusal(
      "negative dimension", tensor: PB.tensor(dims: [-2]), "negative dimension -2", in: nil),
    Refusal(
      "overflowing shape", tensor: PB.tensor(dims: [1 << 40, 1 << 40]),
      "the shape [1099511627776, 1099511627776] has too many elements"),
    Refusal(
      "overflowing size", tensor: PB.tensor(type: 1, dims: [1 << 62]),
      "[4611686018427387904] elements of F32 do not fill whole bytes, or too many"),
    Refusal(
      "65 dimensions", tensor: PB.tensor(dims: [Int](repeating: 1, count: 65)),
      "the tensor has more than 64 dimensions", in: nil),
    Refusal("segment", tensor: PB.tensor(PB.bytes(3)), "a tensor is cut into segments"),
    Refusal(
      "short raw data", tensor: PB.tensor(PB.bytes(9, [1])),
      "[2] elements of U8 take 2 bytes; 1 are there"),
    Refusal(
      "long raw data", tensor: PB.tensor(PB.bytes(9, [1, 2, 3])),
      "[2] elements of U8 take 2 bytes; 3 are there"),
    Refusal("no values", tensor: PB.tensor([]), "the tensor has no values"),
    Refusal(
      "raw and typed", tensor: PB.tensor(PB.bytes(9, [1, 2]) + PB.integer(5, 1)),
      "the tensor has values of more than one kind"),
    Refusal(
      "raw and external",
      tensor: PB.tensor(PB.bytes(9, [1, 2]) + PB.pair(13, "location", "w") + PB.integer(14, 1)),
      "the tensor has values of more than one kind"),
    Refusal(
      "two typed fields", tensor: PB.tensor(PB.integer(5, 1) + PB.integer(7, 1)),
      "a tensor holds values of two types"),
    Refusal(
      "wrong typed field", tensor: PB.tensor(PB.integer(7, 1) + PB.integer(7, 1)),
      "its values are in a field that U8 does not use"),
    Refusal(
      "value out of range", tensor: PB.tensor(PB.integer(5, 1) + PB.integer(5, 256)),
      "the value 256 is invalid for U8"),
    Refusal(
      "negative half", tensor: PB.tensor(type: 10, PB.integer(5, 1) + PB.integer(5, -1)),
      "the value -1 is invalid for F16"),
    Refusal(
      "boolean of 2", tensor: PB.tensor(type: 9, PB.integer(5, 1) + PB.integer(5, 2)),
      "the value 2 is invalid for BOOL"),
    Refusal(
      "too few values", tensor: PB.tensor(PB.integer(5, 1)),
      "[2] elements of U8 take 2 bytes; the values take 1"),
    Refusal(
      "too many values", tensor: PB.tensor(PB.bytes(5, [1, 2, 3])),
      "there are more values than the shape has elements"),
    Refusal(
      "too few floats", tensor: PB.tensor(type: 1, PB.bytes(4, [0, 0, 0, 0])),
      "[2] elements of F32 take 8 bytes; the values take 4"),
    Refusal(
      "giant typed values", tensor: PB.tensor(dims: [1 << 30], PB.integer(5, 1)),
      "values that are not raw data take more than 67108864 bytes in all", .unsupported),
    Refusal(
      "packed type in a typed field", tensor: PB.tensor(type: 23, PB.integer(5, 1)),
      "values of F4 are read from raw data only", .unsupported),
    Refusal(
      "float as a number of 8 bytes",
      tensor: PB.tensor(
        type: 1, PB.tag(4, 1) + littleEndian(UInt64(0)) + PB.tag(4, 1) + littleEndian(UInt64(0))),
      "a value has the wrong type for F32"),
  ]

  static let wrongExternalData: [Refusal] = [
    .external("no location", [("offset", "0")], "its external data has no location"),
    .external(
      "unknown key", [("location", "w"), ("url", "x")],
      "its external data has the unknown key \"url\""),
    .external(
      "duplicate key", [("location", "w"), ("location", "v")],
      "its external data has the key \"location\" twice"),
    .external(
      "absolute", [("location", "/etc/passwd")],
      "the location of its external data is an absolute path"),
    .external(
      "parent", [("location", "a/../../w")],
      #"the location of its external data leaves the directory with "..""#),
    .external(
      "missing", [("location", "w.bin")], "the model's external data w.bin is missing", .notFound),
    .external(
      "empty location", [("location", "")], "the location of its external data is empty"),
    .external(
      "negative offset", [("location", "model.onnx"), ("offset", "-1")],
      "the offset of its external data must be a non-negative integer: \"-1\""),
    .external(
      "offset that is not a number", [("location", "model.onnx"), ("offset", "0x1")],
      "the offset of its external data must be a non-negative integer: \"0x1\""),
    .external(
      "wrong length", [("location", "model.onnx"), ("length", "3")],
      "its external data has 3 bytes, but the tensor needs 2"),
    .external(
      "beyond the file", [("location", "model.onnx"), ("offset", "9223372036854775807")],
      "its 2 bytes at 9223372036854775807 of model.onnx reach beyond the file's 70", .truncated),
  ]

  @Test(arguments: refusals)
  func wrongModelIsRefused(_ refusal: Refusal) throws {
    let error = try #require(throws: FormatError.self) { try open(refusal.bytes) }
    #expect(error.message == refusal.message)
    #expect(error.context == refusal.context)
    #expect(error.code == refusal.code)
    #expect(error.file?.hasSuffix("/model.onnx") == true)
    #expect(try #require(error.offset) <= refusal.bytes.count)
  }

  @Test func errorSaysWhere() throws {
    let start = PB.model(PB.tensor("a"), PB.tensor("b", []))
    let error = try #require(throws: FormatError.self) { try open(start) }
    #expect(error.offset == PB.model(PB.tensor("a")).count)
    let wrong = try #require(throws: FormatError.self) {
      try open(PB.model(PB.tensor(PB.bytes(9, [1, 2, 3]))))
    }
    #expect(wrong.offset == PB.model(PB.tensor(PB.bytes(9, [1, 2, 3]))).count - 3)
  }

  /// Floats of 4 and 8 bytes have a fixed width: they are never varints, and no piece ends inside
  /// one.
  @Test(arguments: [
    (1, PB.integer(4, 0x3F80_0000), "a value has the wrong type for F32"),
    (11, PB.integer(10, 1), "a value has the wrong type for F64"),
    (14, PB.integer(4, 1), "a value has the wrong type for C64"),
    (15, PB.integer(10, 1), "a value has the wrong type for C128"),
    (
      1, PB.bytes(4, [0, 0, 128]) + PB.bytes(4, [63]), "a piece of the values ends inside a number"
    ),
    (
      11, PB.bytes(10, [0, 0, 0, 0]) + PB.bytes(10, [0, 0, 0, 0]),
      "a piece of the values ends inside a number"
    ),
  ])
  func numberOfAnotherWidthIsRefused(type: Int, values: [UInt8], message: String) throws {
    let model = PB.model(PB.tensor("w", type: type, dims: [1], values))
    let error = try #require(throws: FormatError.self) { try open(model) }
    #expect(error.code == .malformed)
    #expect(error.message == message)
    #expect(error.offset == model.count - values.count)
    #expect(error.context == "w")
  }

  /// Bytes that begin like a model, or almost.
  @Test(arguments: beginnings)
  func modelIsTold(name: String, bytes: [UInt8], isModel: Bool) throws {
    let directory = try ScratchDirectory()
    #expect(try (TensorFile.sniff(try directory.write(bytes)) == .onnx) == isModel)
  }

  static let beginnings: [(String, [UInt8], Bool)] = [
    ("version and graph", PB.model(PB.tensor()), true),
    ("graph first", PB.bytes(7, PB.tensor()) + PB.integer(1, 8), true),
    ("empty graph", PB.model(), true),
    ("cut graph", Array(PB.model(PB.tensor()).dropLast(3)), true),
    ("no graph", PB.integer(1, 8) + PB.text(2, "x"), false),
    ("version as text", PB.text(1, "8") + PB.bytes(7, PB.tensor()), false),
    ("version of nothing", PB.integer(1, 0) + PB.bytes(7, PB.tensor()), false),
    ("unknown field", PB.integer(1, 8) + PB.text(9, "x") + PB.bytes(7, PB.tensor()), false),
    ("graph of numbers", PB.integer(1, 8) + PB.bytes(7, PB.integer(5, 1)), false),
    ("graph of something else", PB.integer(1, 8) + PB.bytes(7, PB.text(9, "x")), false),
    ("random", [0xDE, 0xAD, 0xBE, 0xEF, 1, 2, 3], false),
  ]

  /// A model truncated anywhere is rejected.
  @Test func everyTruncationIsRefused() throws {
    let whole = PB.model(PB.tensor(), PB.text(2, "graph"))
    for count in 0..<whole.count {
      #expect(throws: FormatError.self, "\(count)") { try open(Array(whole.prefix(count))) }
    }
  }
}
