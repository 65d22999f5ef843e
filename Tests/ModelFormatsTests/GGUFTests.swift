import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

@Suite struct GGUFTests {
  /// Files that the `gguf` package wrote; Fixtures/formats/make_gguf.py made them.
  static let files = ExpectedFile.manifest(Fixtures.path("formats/gguf.json"))

  @Test(arguments: files)
  func fileHoldsWhatItsReferenceReads(_ expected: ExpectedFile) throws {
    let file = try TensorFile.open(Fixtures.path("formats/\(expected.file)"))
    #expect(file.format == .gguf)
    expected.check(file)
    for tensor in file.tensors {
      let entry = try #require(expected.tensors?[tensor.name])
      #expect(tensor.encoding == entry["encoding"]?.string)
      // The same values in the smallest pieces.
      var pieces: [UInt8] = []
      tensor.withContiguousPieces(limit: 1) { pieces += $0 }
      #expect(pieces == tensor.contiguousBytes())
    }
  }

  @Test func fixturesAreThere() {
    #expect(GGUFTests.files.map { $0.tensors?.members.count } == [8, 11, 2])
  }

  @Test func pairsAreListed() throws {
    let file = try TensorFile.open(Fixtures.path("formats/types.gguf"))
    #expect(
      file.metadata.map { "\($0.key)=\($0.value)" } == [
        "general.architecture=sd", "general.alignment=64", "general.name=types é",
        "test.u8=255", "test.i8=-128", "test.u16=65535", "test.i16=-32768",
        "test.u32=4294967295", "test.i32=-2147483648", "test.f32=0.5",
        "test.u64=18446744073709551615", "test.i64=-9223372036854775808", "test.f64=-0.25",
        "test.bool=true", "test.few=[a, b]", "test.numbers=[1, 2, 3]",
        "test.many=(40 values of type string)",
      ])
  }

  @Test func blocksThatAreNotDecodedAreLeftOut() throws {
    let file = try TensorFile.open(Fixtures.path("formats/blocks.gguf"))
    #expect(file.warnings == ["IQ4_NL: unsupported type IQ4_NL; tensor skipped"])
    #expect(file["IQ4_NL"] == nil)
  }

  @Test func blocksAreReshapedOverTheirFlattenedValues() throws {
    let file = try TensorFile.open(Fixtures.path("formats/blocks.gguf"))
    let tensor = try #require(file["Q8_0"])
    #expect(tensor.shape == [3, 64])
    #expect(tensor.byteCount == 3 * 64 * 4)
    #expect(tensor.storedByteCount == 6 * 34)
    #expect(try #require(tensor.offset) % 32 == 0)
    let rows = tensor.reshaped([6, 32])
    #expect(rows.encoding == "Q8_0")
    #expect(rows.contiguousBytes() == tensor.contiguousBytes())
    let cut = tensor.reshaped([64, 3])
    #expect(cut.encoding == "Q8_0")
    #expect(cut.storedByteCount == 6 * 34)
    #expect(cut.contiguousBytes() == tensor.contiguousBytes())
    #expect(tensor.renamed("other").encoding == "Q8_0")
  }

  /// The shape that ComfyUI-GGUF stores for a tensor whose values it cut into rows of whole blocks.
  @Test func originalShapesAreHonoured() throws {
    let directory = try ScratchDirectory()
    let sizes = { (sizes: [Int32]) in
      GGUFBuilder.array(5, count: UInt64(sizes.count), sizes.flatMap { littleEndian($0) })
    }
    let key = "comfy.gguf.orig_shape."
    // Two blocks of Q8_0: a scale of 1 and the values 0 to 31, of 0.5 and the same.
    let rows = (0..<32).map { UInt8($0) }
    let plain = GGUFBuilder().with {
      $0.pairs = [(key + "w", sizes([4, 4, 2, 2])), (key + "gone", sizes([1]))]
      $0.entries = [
        .init(name: "w", dimensions: [32, 2], type: 8),
        .init(name: "v", dimensions: [4], type: 24, offset: 96),
      ]
      $0.values =
        littleEndian(UInt16(0x3C00)) + rows + littleEndian(UInt16(0x3800)) + rows
        + [UInt8](repeating: 0, count: 28) + [1, 2, 3, 4]
    }
    let file = try TensorFile.open(try directory.write(plain.bytes))
    let tensor = try #require(file["w"])
    #expect(tensor.shape == [4, 4, 2, 2] && tensor.storedShape == [2, 32])
    #expect(tensor.encoding == "Q8_0" && tensor.storedByteCount == 68)
    let values = (0..<32).map { Float($0) } + (0..<32).map { Float($0) / 2 }
    #expect(tensor.contiguousBytes() == values.flatMap { littleEndian($0.bitPattern) })
    #expect(tensor.rows(3..<4).contiguousBytes() == Array(tensor.contiguousBytes().suffix(64)))
    #expect(file["v"]?.storedShape == nil)
    #expect(file.warnings == ["comfy.gguf.orig_shape.gone: no such tensor"])

    let wrong = plain.with { $0.pairs = [(key + "w", sizes([4, 4, 2, 3]))] }
    let error = try #require(try openingError(wrong.bytes))
    #expect(error.code == .malformed && error.context == "w")
    #expect(
      error.message
        == "comfy.gguf.orig_shape gives it the shape [4, 4, 2, 3], but [2, 32] is stored, which has "
        + "64 values")
    let text = plain.with { $0.pairs = [(key + "w", GGUFBuilder.text("4"))] }
    #expect(try openingError(text.bytes)?.message == "not a list of at most 8 sizes: 4")
  }

  @Test func reachesOfShapesAreRead() throws {
    let entries: [GGUFBuilder.Entry] = [
      .init(name: "", dimensions: []),
      .init(name: "empty", dimensions: [0, 3], offset: 32),
      .init(
        name: "model.diffusion_model.output_blocks.11.1.transformer_blocks.0.attn1.to_out.0.weight",
        dimensions: [2, 1, 1, 3], offset: 32),
    ]
    let directory = try ScratchDirectory()
    let values = [UInt8](repeating: 9, count: 32) + [1, 2, 3, 4, 5, 6]
    for version in [2, 3] as [UInt32] {
      let builder = GGUFBuilder().with {
        $0.version = version
        $0.entries = entries
        $0.values = values
      }
      let file = try TensorFile.open(try directory.write(builder.bytes))
      #expect(file.tensors.map(\.shape) == [[], [3, 0], [3, 1, 1, 2]])
      #expect(file.tensors.map { $0.contiguousBytes() } == [[9], [], [1, 2, 3, 4, 5, 6]])
      #expect(file.warnings == [])
    }
  }

  @Test func partAndTrailingBytesAreWarnedOf() throws {
    let directory = try ScratchDirectory()
    let builder = GGUFBuilder().with {
      $0.pairs = [("split.count", littleEndian(UInt32(2)) + littleEndian(UInt16(3)))]
      $0.values += [UInt8](repeating: 0, count: 60)
    }
    #expect(
      try TensorFile.open(try directory.write(builder.bytes)).warnings == [
        "this is one of 3 files; it does not contain the tensors of the others",
        "60 bytes follow the last tensor and were ignored",
      ])
  }

  @Test func longValuesAreShownByTheirSize() throws {
    let long = String(repeating: "x", count: 70_000)
    let directory = try ScratchDirectory()
    let builder = GGUFBuilder().with {
      $0.pairs = [
        ("long", GGUFBuilder.text(long)),
        ("numbers", GGUFBuilder.array(0, count: 17, [UInt8](repeating: 1, count: 17))),
        ("bools", GGUFBuilder.array(7, count: 2, [0, 1])),
      ]
    }
    #expect(
      try TensorFile.open(try directory.write(builder.bytes)).metadata.map(\.value) == [
        "(70000 bytes)", "(17 values of type uint8)", "[false, true]",
      ])
  }

  /// An invalid file, the expected message, and its offset.
  struct Refusal: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let message: String
    let offset: Int
    let context: String?
    let code: FormatError.Code

    init(
      _ name: String, _ message: String, at offset: Int, in context: String? = nil,
      code: FormatError.Code = .malformed, _ change: (inout GGUFBuilder) -> Void
    ) {
      self.init(
        name, bytes: GGUFBuilder().with(change).bytes, message, at: offset, in: context,
        code: code)
    }

    init(
      _ name: String, bytes: [UInt8], _ message: String, at offset: Int,
      in context: String? = nil, code: FormatError.Code = .malformed
    ) {
      testDescription = name
      self.bytes = bytes
      self.message = message
      self.offset = offset
      self.context = context
      self.code = code
    }
  }

  static let plain = GGUFBuilder().bytes

  static let refusals: [Refusal] = [
    Refusal(
      "magic alone", bytes: Array("GGUF".utf8),
      "the header ends early: needs 4 bytes, but only 0 remain", at: 4, code: .truncated),
    Refusal(
      "cut counts", bytes: Array(plain.prefix(20)),
      "the header ends early: needs 8 bytes, but only 4 remain", at: 16, code: .truncated),
    Refusal(
      "big-endian", "big-endian GGUF is not supported (version 3)", at: 4,
      code: .unsupported
    ) { $0.version = UInt32(3).byteSwapped },
    Refusal(
      "version 1", "unsupported GGUF version 1 (supported: 2 and 3)", at: 4,
      code: .unsupported
    ) { $0.version = 1 },
    Refusal(
      "version 4", "unsupported GGUF version 4 (supported: 2 and 3)", at: 4,
      code: .unsupported
    ) { $0.version = 4 },
    Refusal(
      "version 0", "unsupported GGUF version 0 (supported: 2 and 3)", at: 4,
      code: .unsupported
    ) { $0.version = 0 },
    Refusal(
      "negative tensor count",
      "the number of tensors is negative: -1", at: 8
    ) { $0.tensorCount = -1 },
    Refusal(
      "giant tensor count",
      "\(Int64.max) tensors do not fit the \(plain.count - 24) bytes that follow", at: 8
    ) { $0.tensorCount = .max },
    Refusal(
      "giant pair count",
      "\(Int64.max) key-value pairs do not fit the \(plain.count - 24) bytes that follow", at: 16
    ) { $0.pairCount = .max },
    Refusal("empty key", "empty key", at: 24, in: "") { $0.pairs = [("", number(1))] },
    Refusal(
      "long key", "a key is 65536 bytes long; 65535 is the limit", at: 24
    ) { $0.pairs = [(String(repeating: "k", count: 65_536), number(1))] },
    Refusal(
      "duplicate key", "duplicate key", at: 41, in: "k"
    ) { $0.pairs = [("k", number(1)), ("k", number(2))] },
    Refusal(
      "unknown value type", "unknown value type 13", at: 33, in: "k"
    ) { $0.pairs = [("k", littleEndian(UInt32(13)) + littleEndian(UInt64(0)))] },
    Refusal(
      "4 GiB string", "a string is 4294967296 bytes long, but only 51 remain", at: 37, in: "k"
    ) {
      $0.pairs = [("k", littleEndian(UInt32(8)) + littleEndian(UInt64(1) << 32))]
      $0.values = []
    },
    Refusal(
      "endless string", "a string is \(UInt64.max) bytes long, but only 51 remain", at: 37, in: "k"
    ) {
      $0.pairs = [("k", littleEndian(UInt32(8)) + littleEndian(UInt64.max))]
      $0.values = []
    },
    Refusal(
      "endless array",
      "an array of \(UInt64.max) values does not fit the 47 bytes that follow", at: 37, in: "k"
    ) {
      $0.pairs = [("k", array(10, count: .max, []))]
      $0.values = []
    },
    Refusal(
      "endless string in a long array",
      "a string is \(UInt64.max) bytes long, but only 51 remain", at: 177, in: "k"
    ) {
      $0.pairs = [
        (
          "k",
          array(
            8, count: 17,
            [UInt8](repeating: 0, count: 128) + littleEndian(UInt64.max))
        )
      ]
      $0.values = [UInt8](repeating: 0, count: 12)
    },
    Refusal("array of arrays", "an array contains arrays", at: 37, in: "k", code: .unsupported) {
      $0.pairs = [("k", array(9, count: 1, []))]
    },
    Refusal(
      "alignment of 24", "the alignment is not a power of 2 that fits in 32 bits: 24", at: 49,
      in: "general.alignment"
    ) { $0.pairs = [("general.alignment", number(24))] },
    Refusal(
      "alignment of 0", "the alignment is not a power of 2 that fits in 32 bits: 0", at: 49,
      in: "general.alignment"
    ) { $0.pairs = [("general.alignment", number(0))] },
    Refusal(
      "alignment as text", "the alignment is not a power of 2 that fits in 32 bits: 32", at: 49,
      in: "general.alignment"
    ) { $0.pairs = [("general.alignment", GGUFBuilder.text("32"))] },
    Refusal(
      "long tensor name", bytes: plain.replacing(at: 24, with: littleEndian(UInt64(UInt32.max))),
      "a tensor's name is 4294967295 bytes long, but only \(plain.count - 32) remain", at: 24),
    Refusal(
      "name that is no text", bytes: plain.replacing(at: 32, with: [0xFF]),
      "a tensor's name is not UTF-8", at: 24),
    Refusal("five dimensions", "the tensor has 5 dimensions; 4 is the limit", at: 33, in: "w") {
      $0.entries[0].dimensions = [1, 1, 1, 1, 4]
    },
    Refusal("giant rank", "the tensor has 4294967295 dimensions; 4 is the limit", at: 33, in: "w") {
      $0.entries[0].rank = .max
    },
    Refusal("negative dimension", "negative dimension -4", at: 37, in: "w") {
      $0.entries[0].dimensions = [-4]
    },
    Refusal(
      "overflowing shape",
      "the shape [4294967296, 4294967296] has too many elements", at: 33, in: "w"
    ) { $0.entries[0].dimensions = [1 << 32, 1 << 32] },
    Refusal(
      "overflowing size", "the shape [2305843009213693952] needs too many bytes",
      at: 33, in: "w"
    ) {
      $0.entries[0].dimensions = [1 << 61]
      $0.entries[0].type = 0
    },
    Refusal(
      "unknown type", "unknown ggml type 99", at: 45, in: "w",
      code: .unsupported
    ) { $0.entries[0].type = 99 },
    Refusal(
      "withdrawn type", "unknown ggml type 4", at: 45, in: "w",
      code: .unsupported
    ) { $0.entries[0].type = 4 },
    Refusal(
      "cut block", "rows of 33 elements are not whole blocks of 32 of Q8_0", at: 33, in: "w"
    ) {
      $0.entries[0].dimensions = [33, 32]
      $0.entries[0].type = 8
    },
    Refusal(
      "unaligned offset", "its offset 4 is not a multiple of the alignment 32", at: 49, in: "w"
    ) { $0.entries[0].offset = 4 },
    Refusal(
      "gap", "its data starts at 32, leaving a gap after 0", at: 49, in: "w"
    ) { $0.entries[0].offset = 32 },
    Refusal(
      "offset beyond everything",
      "its data starts at 18446744073709551584, leaving a gap after 0", at: 49, in: "w"
    ) { $0.entries[0].offset = .max - 31 },
    Refusal(
      "overlap", "its values begin at 0, inside those of another tensor, which end at 32", at: 82,
      in: "v"
    ) { $0.entries.append(.init(name: "v", offset: 0)) },
    Refusal(
      "duplicate tensor", "duplicate tensor name", at: 57, in: "w"
    ) { $0.entries.append(.init(name: "w", offset: 32)) },
    Refusal(
      "cut values",
      "the file is truncated: its header describes 4 bytes of values, 3 are there, so 1 are missing "
        + "(98 % of the file is present)",
      at: plain.count - 1, in: "w", code: .truncated
    ) { $0.values.removeLast() },
    Refusal(
      "no values", bytes: GGUFBuilder().header,
      "the file is truncated: its header describes 4 bytes of values, 0 are there, so 4 are missing "
        + "(83 % of the file is present)",
      at: 57, in: "w", code: .truncated),
    Refusal(
      "sizes that add up beyond 64 bits", "the tensors' total size exceeds 64 bits", at: 66, in: "v"
    ) {
      $0.entries = [
        .init(name: "w", dimensions: [1 << 62]),
        .init(name: "v", dimensions: [1 << 62], offset: 1 << 62),
      ]
    },
    Refusal(
      "sizes that leave 64 bits with the header",
      "the file is truncated: its header describes 9223372036854775776 bytes of values, 4 are "
        + "there, so 9223372036854775772 are missing", at: plain.count, in: "w", code: .truncated
    ) { $0.entries[0].dimensions = [.max - 31] },
    Refusal(
      "last size that leaves 64 bits with the header",
      "the file is truncated: its header describes 9223372036854775776 bytes of values, 4 are "
        + "there, so 9223372036854775772 are missing", at: 100, in: "v", code: .truncated
    ) { $0.entries.append(.init(name: "v", dimensions: [.max - 63], offset: 32)) },
  ]

  private static func number(_ value: UInt32) -> [UInt8] { GGUFBuilder.number(value) }
  private static func array(_ type: UInt32, count: UInt64, _ elements: [UInt8]) -> [UInt8] {
    GGUFBuilder.array(type, count: count, elements)
  }

  @Test(arguments: refusals)
  func wrongFileIsRefused(_ refusal: Refusal) throws {
    let error = try #require(try openingError(refusal.bytes))
    #expect(error.message == refusal.message)
    #expect(error.offset == refusal.offset)
    #expect(error.context == refusal.context)
    #expect(error.code == refusal.code)
  }

  /// A file truncated anywhere is rejected.
  @Test func everyTruncationIsRefused() throws {
    let whole = GGUFBuilder().with { $0.pairs = [("k", GGUFBuilder.text("value"))] }.bytes
    for count in 4..<whole.count {
      #expect(try openingError(Array(whole.prefix(count))) != nil, "\(count)")
    }
  }
}

extension [UInt8] {
  /// The same bytes with some replaced.
  func replacing(at offset: Int, with bytes: [UInt8]) -> [UInt8] {
    Array(self[..<offset]) + bytes + Array(self[(offset + bytes.count)...])
  }
}
