import CKernels
import Checkpoint
import Crypto
import Foundation
import ModelFormats
import TestSupport
import Testing

/// The comparison at every level against F64, value by value.
@Suite struct ComparisonKernelTests {
  static func compare(
    _ a: [Float], _ b: [Float], _ type: sdk_number, _ level: sdk_isa
  ) -> sdk_comparison {
    sdk_isa_force(level)
    defer { sdk_isa_force(sdk_isa_best()) }
    var result = sdk_comparison()
    let left = [0xEE] + stored(a, SDK_NUMBER_F32)
    let right = stored(b, type)
    left.withUnsafeBytes { left in
      sdk_compare(
        left.baseAddress.map { $0 + 1 }, SDK_NUMBER_F32, right, type, a.count, &result)
    }
    return result
  }

  static func stored(_ values: [Float], _ type: sdk_number) -> [UInt8] {
    switch type {
    case SDK_NUMBER_F16: bytes(values.map { Float16($0).bitPattern })
    case SDK_NUMBER_BF16: bytes(values.map { UInt16($0.bitPattern >> 16) })
    default: bytes(values.map(\.bitPattern))
    }
  }

  static func loaded(_ values: [Float], _ type: sdk_number) -> [Double] {
    switch type {
    case SDK_NUMBER_F16: values.map { Double(Float16($0)) }
    case SDK_NUMBER_BF16: values.map { Double(Float(bitPattern: $0.bitPattern & 0xFFFF_0000)) }
    default: values.map(Double.init)
    }
  }

  @Test(
    arguments: StatisticsKernelTests.levels, [SDK_NUMBER_F32, SDK_NUMBER_F16, SDK_NUMBER_BF16])
  func everyLevel(level: sdk_isa, type: sdk_number) {
    for (count, special) in [(0, false), (1, true), (15, false), (33, true), (5_001, true)] {
      let a = StatisticsKernelTests.singles(count, special: special)
      // Most are equal, some differ a little, some much.
      let b = a.indices.map { index in
        switch index % 7 {
        case 3: a[index] * 1.01
        case 5: -a[(index + 1) % a.count]
        default: a[index]
        }
      }
      var expected = sdk_comparison()
      for (x, y) in zip(a.map(Double.init), Self.loaded(b, type)) {
        if x == y || (x.isNaN && y.isNaN) { continue }
        expected.differing += 1
        guard x.isFinite && y.isFinite else {
          expected.unlike += 1
          continue
        }
        let distance = (x - y).magnitude
        expected.absolute = max(expected.absolute, distance)
        expected.relative = max(expected.relative, distance / max(x.magnitude, y.magnitude))
        expected.square += distance * distance
      }
      let found = Self.compare(a, b, type, level)
      #expect(found.differing == expected.differing, "\(count)")
      #expect(found.unlike == expected.unlike, "\(count)")
      #expect(found.absolute == expected.absolute, "\(count)")
      #expect(found.relative == expected.relative, "\(count)")
      #expect((found.square - expected.square).magnitude <= 1e-12 * expected.square, "\(count)")
    }
  }

  /// 64-bit integers that are equal as F64 still differ.
  @Test func integersAreExact() {
    var result = sdk_comparison()
    let a = [Int64.max, 1 << 60, 5]
    let b = [Int64.max - 1, 1 << 60, 5]
    sdk_compare(a, SDK_NUMBER_I64, b, SDK_NUMBER_I64, 3, &result)
    #expect(result.differing == 1)
    #expect(result.absolute == 1)
  }
}

@Suite struct TensorComparisonTests {
  static func one(_ left: Tensor, _ right: Tensor) throws -> TensorComparison {
    try TensorComparison.of([(left, right)])[0]
  }

  static func tensor(_ dtype: DType, _ values: [UInt8]) -> Tensor {
    Tensor(
      name: "t", dtype: dtype, shape: [values.count * 8 / dtype.bitWidth],
      storage: .memory(values))
  }

  @Test func equalBytes() throws {
    let tensor = Tensor.floats("a", StatisticsKernelTests.singles(600_000, special: true))
    let result = try Self.one(tensor, tensor)
    #expect(result.isIdentical)
    #expect(result.differing == 0)
  }

  /// One value of two million, in the last block.
  @Test func oneValue() throws {
    let values = StatisticsKernelTests.singles(2_000_000, special: false)
    var changed = values
    changed[1_999_998] += 0.5
    let result = try Self.one(.floats("a", values), .floats("a", changed))
    #expect(!result.isIdentical)
    #expect(result.differing == 1)
    #expect((result.maximumAbsolute - 0.5).magnitude < 1e-6)
    #expect(
      (result.rootMeanSquare - result.maximumAbsolute / 2_000_000.0.squareRoot()).magnitude
        < 1e-12)
  }

  @Test(arguments: [DType.float16, .bfloat16])
  func roundedValues(dtype: DType) throws {
    let singles = StatisticsKernelTests.singles(300_000, special: false)
    let wide = Tensor.floats("a", singles)
    var stored: [UInt8] = []
    try wide.withPieces(as: dtype) { (piece) throws(FormatError) in stored += piece }
    let narrow = Self.tensor(dtype, stored)
    for (left, right) in [(wide, narrow), (narrow, wide)] {
      let result = try Self.one(left, right)
      #expect(result.isRounded)
      #expect(result.differing > 0)
      #expect(result.maximumAbsolute <= (dtype == .float16 ? 0x1p-11 : 0x1p-8))
    }
    stored[100_000] ^= 1
    #expect(try !Self.one(wide, Self.tensor(dtype, stored)).isRounded)
    // F16 to F32 and back loses nothing.
    var widened: [UInt8] = []
    try narrow.withPieces(as: .float32) { (piece) throws(FormatError) in widened += piece }
    let exact = try Self.one(narrow, Self.tensor(.float32, widened))
    #expect(exact.differing == 0 && exact.isRounded && !exact.isIdentical)
  }

  @Test func smallTypes() throws {
    let integers = Self.tensor(.int8, [1, 2, 0xFF])
    let wide = Self.tensor(.int64, bytes([1, 2, 7] as [Int64]))
    let result = try Self.one(integers, wide)
    #expect(result.differing == 1)
    #expect(result.maximumAbsolute == 8)
    // Zero and its negative are one number in two forms.
    let zeros = try Self.one(
      Self.tensor(.float8E5M2, [0, 0x3C]), Self.tensor(.float8E5M2, [0x80, 0x3C]))
    #expect(zeros.differing == 0 && !zeros.isIdentical)
    let six = try Self.one(
      Self.tensor(.float6E2M3, [1, 2, 3]), Self.tensor(.float6E2M3, [1, 2, 4]))
    #expect(!six.isCompared && !six.isIdentical)
  }

  /// A complex element is one value, and cannot be compared with a real one.
  @Test func complexTypes() throws {
    func complex(_ parts: [Float]) -> Tensor {
      Self.tensor(.complex64, bytes(parts.map(\.bitPattern)))
    }
    let left = complex([1, 0, 2, 0, .nan, 0, 5, -0.0])
    let result = try Self.one(left, complex([1, 0, 5, 4, .nan, 1, 5, 0]))
    #expect(result.isCompared && !result.isIdentical)
    #expect(result.differing == 2 && result.unlike == 1)
    #expect(result.maximumAbsolute == 5)
    #expect(result.maximumRelative == 5 / 41.0.squareRoot())
    #expect(result.rootMeanSquare == (25 / 4.0).squareRoot())
    let halves: [Float16] = [1, 0, 2, 0, .nan, 0, 5, 0]
    let narrow = try Self.one(left, Self.tensor(.complex32, bytes(halves.map(\.bitPattern))))
    #expect(narrow.isCompared && narrow.differing == 0)
    for (a, b) in [(left, Tensor.floats("r", [1, 2, 3, 4])), (.floats("r", [1, 2, 3, 4]), left)] {
      let mixed = try Self.one(a, b)
      #expect(!mixed.isCompared && !mixed.isIdentical)
    }
    // Of two blocks, the equal one counts like the other.
    let many = [Float](repeating: 1, count: 400_000)
    var changed = many
    changed[0] = 3
    #expect(
      try Self.one(complex(many), complex(changed)).rootMeanSquare == (4 / 200_000.0).squareRoot())
  }

  /// Differences that overflow F64, of real and of complex values.
  @Test(arguments: [DType.float64, .complex128])
  func theEndsOfF64(dtype: DType) throws {
    let values = [1.5e308, -1.5e308]
    let result = try Self.one(
      Self.tensor(dtype, bytes(values.map(\.bitPattern))),
      Self.tensor(dtype, bytes(values.map { (-$0).bitPattern })))
    #expect(result.differing == (dtype == .float64 ? 2 : 1) && result.unlike == 0)
    #expect(result.maximumAbsolute == .infinity)
    #expect(result.maximumRelative == 2)
  }
}

@Suite struct CheckpointDifferenceTests {
  static func difference(_ left: [Tensor], _ right: [Tensor]) throws -> CheckpointDifference {
    let scratch = try Scratch()
    let components = try [left, right].enumerated().map { index, tensors in
      let path = scratch.path("\(index).safetensors")
      try Safetensors.write(tensors, to: path)
      return try ModelCheckpoint.open(path).components
    }
    return try CheckpointDifference(components[0], components[1])
  }

  @Test func everyKind() throws {
    let values: [Float] = [1, 2, 3, 4]
    let difference = try Self.difference(
      [
        .floats("same", values), .floats("gone", values), .floats("changed", values),
        .floats("square", values, shape: [2, 2]), .floats("kernel", values, shape: [2, 2, 1, 1]),
        .floats("typed", values),
      ],
      [
        .floats("same", values), .floats("new", values), .floats("changed", [1, 2, 3, 5]),
        .floats("square", values, shape: [4]), .floats("kernel", values, shape: [2, 2]),
        Tensor(
          name: "typed", dtype: .float16, shape: [4],
          storage: .memory(bytes(values.map { Float16($0).bitPattern }))),
      ])
    #expect(!difference.isSame)
    let part = try #require(difference.parts.first)
    #expect(part.added.map(\.name) == ["new"])
    #expect(part.removed.map(\.name) == ["gone"])
    #expect(Set(part.changed.map(\.name)) == ["changed", "square", "typed"])
    let pairs = Dictionary(uniqueKeysWithValues: part.pairs.map { ($0.name, $0) })
    #expect(pairs["changed"]?.comparison?.maximumAbsolute == 1)
    #expect(pairs["changed"]?.comparison?.maximumRelative == 0.2)
    #expect(pairs["square"]?.isReshaped == true && pairs["square"]?.comparison == nil)
    #expect(pairs["kernel"]?.isSameInOtherShape == true)
    #expect(pairs["typed"]?.isRetyped == true)
    #expect(pairs["typed"]?.comparison?.differing == 0)
    #expect(difference.bytesCompared == 2 * 16 * 3 + 16 + 8)
  }

  /// Names that look alike but differ in bytes are different names.
  @Test func namesAreTheirBytes() throws {
    let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
    let both = [Tensor.floats(composed, [1]), .floats(decomposed, [2])]
    let same = try Self.difference(both, both)
    #expect(same.isSame)
    #expect(same.parts.map(\.pairs.count) == [2])
    let apart = try Self.difference([both[0]], [both[1]])
    #expect(apart.parts.map(\.added.count) == [1] && apart.parts.map(\.removed.count) == [1])
    #expect(apart.parts.map(\.pairs.count) == [0])
    let component = try #require(
      ModelCheckpoint.of(TensorFile(path: "a", format: .safetensors, tensors: both))
        .components.first)
    #expect(component[composed]?.contiguousBytes() == both[0].contiguousBytes())
    #expect(component[decomposed]?.contiguousBytes() == both[1].contiguousBytes())
  }

  /// Two files of the same adapters, trained twice: torch counts 256 keys, all with different
  /// values.
  @Test(.shared("corpus"))
  func adaptersOfTheCorpus() throws {
    let path = try #require(
      Fixtures.shared("corpus/stable-diffusion-v1.5-lora__pytorch_lora_weights.bin"))
    let left = try ModelCheckpoint.open(path)
    let right = try ModelCheckpoint.open(path.dropLast(3) + "safetensors")
    let difference = try CheckpointDifference(left.components, right.components)
    #expect(difference.parts.count == 1)
    #expect(difference.parts[0].pairs.count == 256)
    #expect(difference.parts[0].changed.count == 256)
    #expect(difference.parts[0].added.isEmpty && difference.parts[0].removed.isEmpty)
    #expect(try CheckpointDifference(left.components, left.components).isSame)
  }
}

@Suite struct FileHashesTests {
  /// What sha256sum, `dd bs=65536 skip=16 count=1 | sha256sum`, `tail -c +N | sha256sum` and
  /// `gzip | tail -c8` make of a file of 1,200,000 bytes, byte i being `i * 7 + i / 251` modulo
  /// 256, is made anew here with swift-crypto and a table-free CRC.
  @Test func ofAnyFile() throws {
    let scratch = try Scratch()
    let content = (0..<1_200_000).map { UInt8(truncatingIfNeeded: $0 * 7 + $0 / 251) }
    let path = try scratch.write(content, as: "a.bin")
    let hashes = try #require(try FileHashes.of([path], crc32: true).first)
    #expect(hashes.byteCount == 1_200_000)
    #expect(hashes.sha256 == digest(content))
    #expect(hashes.autoV2 == digest(content).prefix(10))
    #expect(hashes.autoV1 == String(digest(Array(content[0x10_0000..<0x11_0000])).prefix(8)))
    #expect(hashes.autoV3 == nil)
    let crc = content.reduce(UInt32.max) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in
        value >> 1 ^ (value & 1 == 1 ? 0xEDB8_8320 : 0)
      }
    }
    #expect(hashes.crc32 == String(~crc, radix: 16, uppercase: true))
  }

  /// Up to the start of AutoV1's range, one byte beyond, and the whole range.
  @Test(arguments: [(0x10_0000, 0), (0x10_0001, 1), (0x11_0000, 0x1_0000)])
  func shortFiles(size: Int, hashed: Int) throws {
    let scratch = try Scratch()
    let path = try scratch.write([UInt8](repeating: 9, count: size), as: "a")
    let hashes = try #require(try FileHashes.of([path]).first)
    let expected = String(digest([UInt8](repeating: 9, count: hashed)).prefix(8))
    #expect(hashes.autoV1 == (hashed == 0 ? nil : expected))
    #expect(hashes.crc32 == nil)
  }

  @Test func autoV3IsOfTheValues() throws {
    let scratch = try Scratch()
    let values = StatisticsKernelTests.singles(1_000, special: false)
    try Safetensors.write([.floats("a", values)], to: scratch.path("a.safetensors"))
    try Safetensors.write(
      [.floats("a", values)], metadata: [("note", "other")],
      to: scratch.path("b.safetensors"))
    try Safetensors.write([], to: scratch.path("none.safetensors"))
    let hashes = try FileHashes.of(
      ["a", "b", "none"].map { scratch.path("\($0).safetensors") })
    #expect(hashes[0].autoV3 == String(digest(bytes(values.map(\.bitPattern))).prefix(12)))
    #expect(hashes[0].autoV3 == hashes[1].autoV3)
    #expect(hashes[0].sha256 != hashes[1].sha256)
    #expect(hashes[2].autoV3 == nil)
  }

  /// Progress counts a file's bytes once, regardless of the number of hashes.
  @Test func progressIsInBytesOfTheFile() throws {
    let scratch = try Scratch()
    let path = scratch.path("a")
    // Large enough to take longer than the time between two calls.
    let size = 1 << 30
    #expect(FileManager.default.createFile(atPath: path, contents: nil))
    let file = try #require(FileHandle(forWritingAtPath: path))
    try file.truncate(atOffset: UInt64(size))
    try file.close()
    var calls: [(done: Int, total: Int)] = []
    _ = try FileHashes.of([path], crc32: true) { calls.append(($0, $1)) }
    #expect(!calls.isEmpty)
    #expect(calls.allSatisfy { $0.total == size && (0...size).contains($0.done) })
    #expect(calls.map(\.done) == calls.map(\.done).sorted())
  }

  @Test func theHashOfNothingIsRefused() throws {
    let scratch = try Scratch()
    let path = try scratch.write([] as [UInt8], as: "empty")
    let error = try failure { _ = try FileHashes.of([path]) }
    #expect(error?.code == .unrecognized)
    #expect(error?.file == path)
  }

  func digest(_ bytes: [UInt8]) -> String { hexadecimal(SHA256.hash(data: bytes)) }
}

@Suite struct ContentHashTests {
  /// The repository, the same as single files, and the .sdflat file.
  @Test func isTheSameInEveryLayout() throws {
    let scratch = try Scratch()
    let repository = Fixtures.path("shapes-v2")
    let source = try ModelCheckpoint.open(repository)
    try Conversion(of: source, to: .sdflat, at: scratch.path("a.sdflat")).execute()
    let flat = try ContentHash(ModelCheckpoint.open(scratch.path("a.sdflat")))
    let expected = try #require(try ContentHash(source))
    #expect(flat == expected)
    #expect(expected.components.map(\.name) == [.textEncoder, .unet, .vae])
    let pickled = try ModelCheckpoint.open(repository, preferring: .bin)
    #expect(try ContentHash(pickled) == expected)
  }

  /// Two tensors do not have the content hash of one tensor whose name contains the other's line.
  @Test func namesAreNotLines() throws {
    func content(_ tensors: [Tensor]) throws -> String? {
      try ContentHash(
        ModelCheckpoint.of(TensorFile(path: "a", format: .safetensors, tensors: tensors))
      )?.sha256
    }
    let (one, two) = (Tensor.floats("a", [1]), Tensor.floats("b", [2]))
    let value = hexadecimal(SHA256.hash(data: one.contiguousBytes()))
    let forged = Tensor.floats("a F32 [1] \(value)\nmodel b", [2])
    #expect(try content([one, two]) != content([forged]))
    let last = hexadecimal(SHA256.hash(data: two.contiguousBytes()))
    let line = #"model "a F32 [1] \#(value)\nmodel b" F32 [1] \#(last)"# + "\n"
    #expect(try content([forged]) == hexadecimal(SHA256.hash(data: Array(line.utf8))))
    let plain = "model a F32 [1] \(value)\nmodel b F32 [1] \(last)\n"
    #expect(try content([two, one]) == hexadecimal(SHA256.hash(data: Array(plain.utf8))))
  }

  @Test func oneValueChangesIt() throws {
    let scratch = try Scratch()
    let path = try scratch.repository { tensors in
      tensors.map { tensor in
        guard tensor.name == "decoder.conv_in.bias" else { return tensor }
        var values = tensor.contiguousBytes()
        values[0] ^= 1
        return Tensor(
          name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, storage: .memory(values))
      }
    }
    let changed = try #require(try ContentHash(ModelCheckpoint.open(path)))
    let source = try #require(
      try ContentHash(ModelCheckpoint.open(Fixtures.path("shapes-v2"))))
    #expect(changed.sha256 != source.sha256)
    let differing = zip(changed.components, source.components).filter { $0.sha256 != $1.sha256 }
    #expect(differing.map(\.0.name) == [.vae])
  }
}
