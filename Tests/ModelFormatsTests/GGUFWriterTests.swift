import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite struct GGUFWriterTests {
  private func tensor(_ name: String, _ dtype: DType, _ shape: Shape, _ bytes: [UInt8]) -> Tensor {
    Tensor(name: name, dtype: dtype, shape: shape, storage: .memory(bytes))
  }

  private func floats(_ values: [Float]) -> [UInt8] {
    values.flatMap { littleEndian($0.bitPattern) }
  }

  /// Writes tensors in pieces of `piece` bytes, regardless of tensors' ends, and opens the result.
  private func write(
    _ tensors: [Tensor], piece: Int, quantizing: Set<String> = []
  ) throws -> (file: TensorFile, directory: ScratchDirectory) {
    let directory = try ScratchDirectory()
    let path = directory.path("out.gguf")
    let writer = try GGUFWriter(
      path: path, tensors: tensors.map(\.info),
      metadata: [("general.architecture", .text("sd1")), ("test.count", .uint64(7))]
    ) { quantizing.contains($0.name) ? .q80 : nil }
    let bytes = tensors.flatMap { $0.contiguousBytes() }
    for start in stride(from: 0, to: bytes.count, by: piece) {
      try bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes { try writer.write($0) }
    }
    try writer.commit()
    return (try TensorFile.open(path), directory)
  }

  @Test(arguments: [1, 127, 128, 1000, 1 << 20])
  func tensorsAreWrittenInPiecesOfAnySize(piece: Int) throws {
    let values = (0..<192).map { Float($0) - 100 }
    let tensors = [
      tensor("a", .float16, [3], [1, 2, 3, 4, 5, 6]),
      tensor("q", .float32, [2, 3, 32], floats(values)),
      tensor("empty", .int64, [0, 4], []),
      tensor("f", .float32, [1, 2, 1, 2], floats([1, 2, 3, 4])),
      tensor("b", .bfloat16, [1], [1, 2]), tensor("i", .int32, [2], Array(0..<8)),
    ]
    let (file, _) = try write(tensors, piece: piece, quantizing: ["q"])
    #expect(file.tensors.map(\.name) == tensors.map(\.name))
    #expect(file.tensors.map(\.shape) == tensors.map(\.shape))
    #expect(file.tensors.map(\.encoding) == ["F16", "Q8_0", "I64", "F32", "BF16", "I32"])
    for tensor in tensors where tensor.name != "q" {
      #expect(file[tensor.name]?.contiguousBytes() == tensor.contiguousBytes())
    }
    #expect(
      file.metadata.map { "\($0.key)=\($0.value)" } == [
        "general.architecture=sd1", "test.count=7", "general.quantization_version=2",
      ])
    let read = try #require(file["q"]).contiguousBytes()
    let errors = zip(values, stride(from: 0, to: read.count, by: 4)).map { value, start in
      abs(
        value
          - Float(
            bitPattern: read[start..<(start + 4)].enumerated()
              .reduce(0) { $0 | UInt32($1.element) << (8 * $1.offset) }))
    }
    // Half a step of the coarsest block, plus the scale's rounding to F16.
    let limit: Float = 100.0 / 127 / 2 + 100.0 / 2048
    #expect(try #require(errors.max()) <= limit)
  }

  /// Fixtures/formats/make_gguf.py quantized the same values with the `gguf` package.
  @Test(arguments: [4, 128, 1 << 20])
  func blocksAreThoseOfTheReference(piece: Int) throws {
    let reference = try TensorFile.open(Fixtures.path("formats/quantized.gguf"))
    let values = try #require(reference["values"])
    let (file, _) = try write([values], piece: piece, quantizing: ["values"])
    let blocks = try #require(file["values"]).withStoredBytes { [UInt8]($0) }
    #expect(try blocks == #require(reference["blocks"]).withStoredBytes { [UInt8]($0) })
  }

  /// Encoded blocks are copied unchanged.
  @Test func encodedBlocksAreCopied() throws {
    let source = try TensorFile.open(Fixtures.path("formats/blocks.gguf"))
    let tensor = try #require(source["Q8_0"])
    let directory = try ScratchDirectory()
    let writer = try GGUFWriter(
      path: directory.path("out"), tensors: [tensor.info, tensor.renamed("plain").info]
    ) { $0.name == "plain" ? nil : .q80 }
    try tensor.withStoredBytes { try writer.writeEncoded($0) }
    try tensor.withContiguousPieces(limit: 1) { try writer.write($0) }
    try writer.commit()
    let copy = try TensorFile.open(directory.path("out"))
    #expect(
      try #require(copy["Q8_0"]).withStoredBytes { [UInt8]($0) }
        == tensor.withStoredBytes { [UInt8]($0) })
    #expect(copy["plain"]?.contiguousBytes() == tensor.contiguousBytes())
  }

  @Test func scalarBecomesOneDimension() throws {
    let (file, _) = try write([tensor("s", .float32, [], floats([2.5]))], piece: 4)
    #expect(file["s"]?.shape == [1])
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity, 1e7, -3.4e38])
  func valueBeyondBlocksIsRefused(value: Float) throws {
    let values = floats(
      [Float](repeating: 1, count: 40) + [value] + [0, 0, 0, 0, 0, 0, 0]
        + [Float](repeating: 0, count: 16))
    let error = try #require(throws: FormatError.self) {
      try write([tensor("q", .float32, [64], values)], piece: 64, quantizing: ["q"])
    }
    #expect(error.code == .mismatch)
    #expect(error.message == "a value is NaN, infinite or too large for Q8_0")
    #expect(error.context == "q")
  }

  @Test func missingValuesAreSaid() throws {
    let directory = try ScratchDirectory()
    let infos = ["a", "b"].map { TensorInfo(name: $0, dtype: .int8, shape: [2]) }
    let writer = try GGUFWriter(path: directory.path("out"), tensors: infos)
    let error = try #require(throws: FormatError.self) { try writer.commit() }
    #expect(error.code == .mismatch)
    #expect(error.message == "the values of 2 of 2 tensors are missing")
  }

  static let unwritable: [(TensorInfo, BlockEncoding?, String)] = [
    (.init(name: "a", dtype: .bool, shape: [1]), nil, "GGUF has no type for BOOL"),
    (
      .init(name: "a", dtype: .int8, shape: [1, 1, 1, 1, 1]), nil,
      "GGUF supports up to 4 dimensions (got 5)"
    ),
    (
      .init(name: "a", dtype: .float16, shape: [32]), .q80, "F16 values cannot be written as Q8_0"
    ),
    (
      .init(name: "a", dtype: .float32, shape: [256]), .q4K,
      "F32 values cannot be written as Q4_K"
    ),
    (
      .init(name: "a", dtype: .float32, shape: [32, 3]), .q80,
      "rows of 3 elements are not whole blocks of 32 of Q8_0"
    ),
    (
      .init(name: "a", dtype: .float32, shape: []), .q80,
      "rows of 1 element are not whole blocks of 32 of Q8_0"
    ),
    (
      .init(name: "a", dtype: .float64, shape: [1 << 60]), nil,
      "[1152921504606846976] elements of F64 do not fill whole bytes"
    ),
  ]

  @Test(arguments: unwritable)
  func whatCannotBeWrittenIsRefused(
    tensor: TensorInfo, encoding: BlockEncoding?, message: String
  ) throws {
    let directory = try ScratchDirectory()
    let error = try #require(throws: FormatError.self) {
      try GGUFWriter(path: directory.path("out"), tensors: [tensor]) { _ in encoding }
    }
    #expect(error.code == .unsupported)
    #expect(error.message == message)
    #expect(error.context == "a")
    #expect(try directory.names == [])
  }

  @Test(arguments: [
    (["k", "k"], FormatError.Code.mismatch, "duplicate key"),
    ([""], .unsupported, "GGUF cannot store this metadata key"),
    (["general.alignment"], .unsupported, "GGUF cannot store this metadata key"),
  ])
  func wrongKeysAreRefused(keys: [String], code: FormatError.Code, message: String) throws {
    let directory = try ScratchDirectory()
    let error = try #require(throws: FormatError.self) {
      try GGUFWriter(
        path: directory.path("out"), tensors: [], metadata: keys.map { ($0, .bool(true)) })
    }
    #expect(error.code == code)
    #expect(error.message == message)
  }

  @Test func duplicateNamesAreRefused() throws {
    let directory = try ScratchDirectory()
    let info = TensorInfo(name: "a", dtype: .int8, shape: [2])
    let error = try #require(throws: FormatError.self) {
      try GGUFWriter(path: directory.path("out"), tensors: [info, info])
    }
    #expect(error.code == .mismatch)
    #expect(error.message == "duplicate tensor name")
  }

  /// The `gguf` package reads the same from our file.
  @Test(.python("gguf"))
  func referenceReadsWhatIsWritten() throws {
    let reference = try TensorFile.open(Fixtures.path("formats/types.gguf"))
    let quantized = try TensorFile.open(Fixtures.path("formats/quantized.gguf"))
    let directory = try ScratchDirectory()
    let path = directory.path("out.gguf")
    let tensors = reference.tensors + [try #require(quantized["values"])]
    let writer = try GGUFWriter(
      path: path, tensors: tensors.map(\.info),
      metadata: [
        ("general.architecture", .text("sd1")), ("a.float", .float32(0.5)), ("a.bool", .bool(true)),
        ("a.texts", .texts(["x", "é"])), ("a.number", .uint32(9)),
      ]
    ) { $0.name == "values" ? .q80 : nil }
    try writer.write(tensors)
    let script = """
      import sys, gguf, numpy
      ours, types, quantized = (gguf.GGUFReader(path) for path in sys.argv[1:])
      found = {t.name: t for t in ours.tensors}
      for expected in types.tensors:
          other = found.pop(expected.name)
          assert (list(other.shape), other.tensor_type) == (
              list(expected.shape), expected.tensor_type), expected.name
          assert other.data.tobytes() == expected.data.tobytes(), expected.name
      blocks = next(t for t in quantized.tensors if t.name == "blocks")
      assert found["values"].data.tobytes() == blocks.data.tobytes()
      values = {f.name: f.contents() for f in ours.fields.values()}
      assert values["general.architecture"] == "sd1" and values["a.float"] == 0.5
      assert values["a.bool"] is True and values["a.texts"] == ["x", "é"], values
      assert values["a.number"] == 9 and values["general.quantization_version"] == 2
      """
    let result = try Tool.launch(
      try #require(Tool.python), ["-c", script, path, reference.path, quantized.path])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }
}
