import Foundation
import ModelFormats
import TestSupport
import Testing

@Suite struct TorchWriterTests {
  private func tensor(_ name: String, _ dtype: DType, _ shape: Shape, _ bytes: [UInt8]) -> Tensor {
    Tensor(name: name, dtype: dtype, shape: shape, storage: .memory(bytes))
  }

  /// Writes tensors, in pieces of `piece` bytes regardless of tensors' ends, and opens the result.
  private func write(
    _ tensors: [Tensor], under key: String? = nil, piece: Int = 5, narrowLimit: Int? = nil
  ) throws -> (file: TensorFile, directory: ScratchDirectory) {
    let directory = try ScratchDirectory()
    let path = directory.path("out.bin")
    let infos = tensors.map(\.info)
    let writer =
      if let narrowLimit {
        try TorchWriter(
          path: path, tensors: infos, under: key, overwrite: false, narrowLimit: narrowLimit)
      } else {
        try TorchWriter(path: path, tensors: infos, under: key)
      }
    let bytes = tensors.flatMap { $0.contiguousBytes() }
    for start in stride(from: 0, to: bytes.count, by: piece) {
      try bytes[start..<min(start + piece, bytes.count)].withUnsafeBytes { try writer.write($0) }
    }
    try writer.commit()
    return (try TensorFile.open(path), directory)
  }

  private func check(_ file: TensorFile, holds tensors: [Tensor], prefix: String = "") {
    #expect(file.format == .pytorch)
    #expect(file.warnings == [])
    #expect(file.tensors.map(\.name) == tensors.map { prefix + $0.name })
    #expect(file.tensors.map(\.dtype) == tensors.map(\.dtype))
    #expect(file.tensors.map(\.shape) == tensors.map(\.shape))
    #expect(file.tensors.map { $0.contiguousBytes() } == tensors.map { $0.contiguousBytes() })
    for tensor in file.tensors where tensor.byteCount > 0 {
      #expect(tensor.offset.map { $0 % 64 } == 0)
    }
  }

  @Test(arguments: ["types.pt", "views.pt", "legacy.pt", "module.pt"])
  func whatTorchWroteIsWrittenAgain(name: String) throws {
    let source = try TensorFile.open(Fixtures.path("formats/\(name)"))
    let directory = try ScratchDirectory()
    let writer = try TorchWriter(path: directory.path("out"), tensors: source.tensors.map(\.info))
    var progress: [Int] = []
    try writer.write(source.tensors.shuffled()) { written, _ in progress.append(written) }
    check(try TensorFile.open(directory.path("out")), holds: source.tensors)
    #expect(progress.last == source.tensors.reduce(0) { $0 + $1.byteCount })
    #expect(try directory.names == ["out"])
  }

  @Test(arguments: [1, 7, 1000])
  func piecesOfAnySizeAreTaken(piece: Int) throws {
    let tensors = [
      tensor("a", .float32, [2, 3], Array(0..<24)), tensor("empty", .int64, [0, 4], []),
      tensor("é.weight", .bool, [], [1]), tensor("", .float16, [1, 1, 1, 2], [1, 2, 3, 4]),
      tensor("last", .uint8, [0], []),
    ]
    check(try write(tensors, piece: piece).file, holds: tensors)
  }

  @Test func dictionaryMayStandUnderAKey() throws {
    let tensors = [tensor("w", .bfloat16, [2], [1, 2, 3, 4])]
    check(try write(tensors, under: "state_dict").file, holds: tensors, prefix: "state_dict.")
  }

  @Test func manyTensorsAreWritten() throws {
    let tensors = (0..<2345).map { tensor("t\($0)", .int8, [1], [UInt8($0 % 256)]) }
    check(try write(tensors).file, holds: tensors)
  }

  @Test func noTensorsAreADictionaryToo() throws {
    check(try write([]).file, holds: [])
  }

  @Test func largeDimensionsAreWritten() throws {
    let tensors = [
      tensor("a", .uint8, [300, 0, 1 << 40], []), tensor("b", .uint8, [70_000, 1, 1, 1, 0], []),
    ]
    check(try write(tensors).file, holds: tensors)
  }

  /// The fields of an archive beyond 4 GiB, in a small one: 64-bit sizes and offsets.
  @Test(arguments: [0, 100, 800])
  func fieldsOf64BitsAreWritten(narrowLimit: Int) throws {
    let tensors = [
      tensor("a", .uint8, [100], Array(0..<100)), tensor("b", .uint8, [99], Array(0..<99)),
      tensor("c", .uint8, [0], []), tensor("d", .uint8, [101], Array(0..<101)),
    ]
    let (file, directory) = try write(tensors, narrowLimit: narrowLimit)
    check(file, holds: tensors)
    let bytes = try directory.contents("out.bin")
    #expect(bytes.firstRange(of: [0x50, 0x4B, 6, 6]) != nil)
  }

  /// The data descriptor after a record contains the CRC-32 of its bytes.
  @Test func checksumsAreRight() throws {
    let values = (0..<1_300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
    let (file, directory) = try write([tensor("a", .uint8, [1_300_000], values)], piece: 900_000)
    let end = try #require(file["a"]?.offset) + values.count
    let bytes = try directory.contents("out.bin")
    #expect(
      Array(bytes[end..<(end + 16)])
        == Array("PK\u{7}\u{8}".utf8) + littleEndian(ZipBuilder.checksum(values))
        + littleEndian(UInt32(values.count)) + littleEndian(UInt32(values.count)))
  }

  @Test func missingValuesAreSaid() throws {
    let directory = try ScratchDirectory()
    let infos = ["a", "b", "c"].map { TensorInfo(name: $0, dtype: .uint8, shape: [2]) }
    let writer = try TorchWriter(path: directory.path("out"), tensors: infos)
    try [1, 2, 3].withUnsafeBytes { try writer.write(UnsafeRawBufferPointer(rebasing: $0[..<3])) }
    let error = try #require(throws: FormatError.self) { try writer.commit() }
    #expect(error.code == .mismatch)
    #expect(error.message == "the values of 2 of 3 tensors are missing")
  }

  @Test(arguments: [
    (
      [TensorInfo(name: "a", dtype: .uint8, shape: []), .init(name: "a", dtype: .bool, shape: [])],
      FormatError.Code.mismatch, "duplicate tensor name"
    ),
    (
      [TensorInfo(name: "a", dtype: .float4, shape: [2])], .unsupported,
      "PyTorch has no type for F4"
    ),
    (
      [TensorInfo(name: "a", dtype: .float64, shape: [1 << 61])], .unsupported,
      "[2305843009213693952] elements of F64 do not fill whole bytes"
    ),
  ])
  func whatCannotBeWrittenIsRefused(
    tensors: [TensorInfo], code: FormatError.Code, message: String
  ) throws {
    let directory = try ScratchDirectory()
    let error = try #require(throws: FormatError.self) {
      try TorchWriter(path: directory.path("out"), tensors: tensors)
    }
    #expect(error.code == code)
    #expect(error.message == message)
    #expect(error.context == "a")
    #expect(try directory.names == [])
  }

  /// torch reads the same from our file as from its own.
  @Test(.python("torch"))
  func torchReadsWhatIsWritten() throws {
    let source = try TensorFile.open(Fixtures.path("formats/types.pt"))
    let directory = try ScratchDirectory()
    for (name, key) in [("plain.bin", nil), ("nested.ckpt", "state_dict")] as [(String, String?)] {
      let writer = try TorchWriter(
        path: directory.path(name), tensors: source.tensors.map(\.info), under: key)
      try writer.write(source.tensors)
    }
    _ = try TorchWriter(
      path: directory.path("wide.bin"), tensors: source.tensors.map(\.info), under: nil,
      overwrite: false, narrowLimit: 0
    ).write(source.tensors)
    let script = """
      import sys, torch, zipfile
      expected = torch.load(sys.argv[1])
      for path, key in ((sys.argv[2], None), (sys.argv[3], "state_dict"), (sys.argv[4], None)):
          for mmap in (False, True):
              found = torch.load(path, weights_only=True, mmap=mmap)
              found = found[key] if key else found
              assert list(found) == list(expected)
              for name, tensor in expected.items():
                  other = found[name]
                  assert (other.dtype, other.shape) == (tensor.dtype, tensor.shape), name
                  if tensor.numel():
                      views = [t.reshape(-1).view(torch.uint8) for t in (tensor, other)]
                      assert torch.equal(*views), name
          assert zipfile.ZipFile(path).testzip() is None
      """
    let result = try Tool.launch(
      try #require(Tool.python),
      ["-c", script, source.path]
        + ["plain.bin", "nested.ckpt", "wide.bin"].map(directory.path))
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }
}
