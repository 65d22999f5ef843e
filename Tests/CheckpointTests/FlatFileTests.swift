import CXXHash
import Checkpoint
import FlatFormat
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// The flat format: round trips, layout, and every kind of damage.
@Suite struct FlatFileTests {
  /// The bundled model's VAE as a .sdflat file, small enough to be damaged often.
  static func smallFile(_ scratch: Scratch) throws -> [UInt8] {
    let source = try ModelCheckpoint.open(Fixtures.path("shapes-v2/vae"))
    try Conversion(of: source, to: .sdflat, at: scratch.path("vae.sdflat")).execute()
    return try scratch.contents("vae.sdflat")
  }

  /// The header of a .sdflat file, and where its data starts.
  static func header(_ file: [UInt8]) throws -> (json: JSON, dataStart: Int) {
    let length = file[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
    let text = String(decoding: file[64..<(64 + length)], as: UTF8.self)
    return (try JSON(parsing: text), (64 + length + 4095) / 4096 * 4096)
  }

  @Test func keepsEverythingBitForBit() throws {
    let scratch = try Scratch()
    let source = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    let path = scratch.path("model.sdflat")
    try Conversion(of: source, to: .sdflat, at: path).execute()
    #expect(try scratch.names == ["model.sdflat"])

    let flat = try ModelCheckpoint.open(path)
    #expect(flat.layout == .file(.sdflat))
    #expect(flat.warnings == [])
    #expect(flat.components.map(\.name) == source.components.map(\.name))
    for (left, right) in zip(source.components, flat.components) {
      #expect(right.architecture == left.architecture)
      #expect(right.configuration?.object == left.configuration?.object)
      #expect(Set(right.tensors.map(\.name)) == Set(left.tensors.map(\.name)))
      for tensor in left.tensors {
        let copy = try #require(right[tensor.name])
        #expect(copy.dtype == tensor.dtype && copy.shape == tensor.shape)
        #expect(copy.contiguousBytes() == tensor.contiguousBytes(), "\(tensor.name)")
      }
      try right.requireComplete()
    }
    for file in source.files {
      #expect(flat.file(named: file.path)?.bytes == file.bytes, "\(file.path)")
    }
    #expect(try FlatFile.verify(path).isSound)
  }

  @Test func isLaidOutAsSpecified() throws {
    let scratch = try Scratch()
    let file = try FlatFileTests.smallFile(scratch)
    #expect(Array(file[..<16]) == Array("SDFLAT".utf8) + [0, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    let (header, dataStart) = try FlatFileTests.header(file)
    let tensors = try #require(header["components"]?.array?.first?["tensors"]?.array)
    var end = 0
    for entry in (header["files"]?.array ?? []) + tensors {
      let offset = try #require(entry["offset"]?.int)
      let count = try #require(entry["bytes"]?.int)
      #expect(offset % (count >= 65_536 ? 4096 : 64) == 0)
      #expect(offset >= end && offset - end < 4096)
      end = offset + count
    }
    #expect(file.count == dataStart + end)
    // Execution order: the encoder's first convolution comes first.
    #expect(tensors.first?["name"] == "encoder.conv_in.weight")
    #expect(tensors.contains { $0["bytes"]?.int ?? 0 >= 65_536 })
  }

  @Test func isTheSameEveryTime() throws {
    let scratch = try Scratch()
    let first = try FlatFileTests.smallFile(scratch)
    let again = try FlatFileTests.smallFile(try Scratch())
    #expect(first == again)
  }

  @Test(arguments: [false, true])
  func recordsWhereItCameFrom(isHashing: Bool) throws {
    let scratch = try Scratch()
    var options = Conversion.Options()
    options.hashSources = isHashing
    try ConversionTests.convert(
      "\(ConversionTests.model)/vae", to: .sdflat, at: scratch.path("vae.sdflat"), options)
    let provenance = try #require(
      try ModelCheckpoint.open(scratch.path("vae.sdflat")).provenance)
    #expect(provenance["tool"] == .string("sdloom \(toolVersion)"))
    let source = try #require(provenance["sources"]?.array?.first)
    #expect(source["path"] == "diffusion_pytorch_model.safetensors")
    // `sha256sum Fixtures/shapes-v2/vae/diffusion_pytorch_model.safetensors`
    let digest = "4a8b0df5f3778ccc8df4a57efdaf5bc9289ac633800a5a36a384bf134a3e7336"
    #expect(source["sha256"] == (isHashing ? .string(digest) : nil))
  }

  // MARK: Damage

  /// One flipped bit anywhere must be detected, on opening or verifying, and located.
  @Test func noticesAFlippedBitInEveryRegion() throws {
    let scratch = try Scratch()
    var file = try FlatFileTests.smallFile(scratch)
    let (header, dataStart) = try FlatFileTests.header(file)
    let tensors = try #require(header["components"]?.array?.first?["tensors"]?.array)
    // Every byte of the prelude, some of the header and its padding, both ends of every tensor.
    var positions: [(offset: Int, subject: String?)] = (0..<64).map { ($0, nil) }
    positions += [64, 65, 500, 5000].map { ($0, nil) }
    positions.append((dataStart - 1, "padding before vae/config.json"))
    var end = dataStart
    for entry in (header["files"]?.array ?? []) + tensors {
      let start = dataStart + (entry["offset"]?.int ?? 0)
      let name = entry["path"]?.string ?? "vae: \(entry["name"]?.string ?? "")"
      if start > end { positions.append((start - 1, "padding before \(name)")) }
      end = start + (entry["bytes"]?.int ?? 0)
      positions += [(start, name), (end - 1, name)]
    }
    for (offset, subject) in positions {
      let bit = UInt8(1) << UInt8(offset % 8)
      file[offset] ^= bit
      let path = try scratch.write(file, as: "damaged")
      file[offset] ^= bit
      do {
        let result = try FlatFile.verify(path)
        #expect(result.damages.map(\.subject) == [try #require(subject)], "byte \(offset)")
      } catch let error as FormatError {
        #expect(subject == nil, "byte \(offset): \(error)")
        #expect(error.file == path)
      }
    }
  }

  /// Headers with random bytes replaced and checksums corrected: each is rejected or read, none
  /// crashes the program, and everything read is inside the file.
  @Test func survivesRandomHeaders() throws {
    let scratch = try Scratch()
    let file = try FlatFileTests.smallFile(scratch)
    let length = file[16..<24].reversed().reduce(0) { $0 << 8 | Int($1) }
    let dataStart = (64 + length + 4095) / 4096 * 4096
    let seed = UInt64.random(in: 0...UInt64.max)
    var random = SplitMix(state: seed)
    let alphabet = Array("0123456789-.eE{}[]\",:\\ntfu/\0\u{1}".utf8) + [0xFF]
    for _ in 0..<300 {
      var damaged = file
      for _ in 0...Int(random.next() % 4) {
        let position = 64 + Int(random.next() % UInt64(length))
        damaged[position] = alphabet[Int(random.next() % UInt64(alphabet.count))]
      }
      let header = Array(damaged[64..<(64 + length)])
      damaged.replaceSubrange(24..<32, with: bytes([XXH3_64bits(header, length)]))
      let prelude = Array(damaged[..<56])
      damaged.replaceSubrange(56..<64, with: bytes([XXH3_64bits(prelude, 56)]))
      let path = try scratch.write(damaged, as: "random")
      let opened = try failure {
        for component in try ModelCheckpoint.open(path).components {
          for tensor in component.tensors {
            let offset = try #require(tensor.offset)
            #expect(offset >= dataStart && offset + tensor.byteCount <= damaged.count)
          }
        }
      }
      if let opened { #expect(opened.file == path, "seed \(seed)") }
    }
  }

  /// Steele, Lea and Flood's splittable generator.
  struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var value = state
      value = (value ^ value >> 30) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ value >> 27) &* 0x94D0_49BB_1331_11EB
      return value ^ value >> 31
    }
  }

  @Test func noticesTruncation() throws {
    let scratch = try Scratch()
    let file = try FlatFileTests.smallFile(scratch)
    for count in [9, 63, 64, 1000, file.count / 2, file.count - 1] {
      let path = try scratch.write(Array(file.prefix(count)), as: "short")
      let error = try #require(try failure { _ = try ModelCheckpoint.open(path) })
      #expect(error.code == .truncated, "\(count) bytes")
      #expect(error.file == path)
    }
    let path = try scratch.write(file + [0], as: "long")
    #expect(try failure { _ = try ModelCheckpoint.open(path) }?.code == .malformed)
  }

  // MARK: Headers of others

  /// A .sdflat file with this header and data; the checksums of prelude and header are correct.
  static func file(_ header: JSON, data: [UInt8] = [], version: UInt32 = 1) -> [UInt8] {
    let text = Array(header.text(.compact).utf8)
    var start = 64 + text.count
    start = (start + 4095) / 4096 * 4096
    var prelude = Array("SDFLAT".utf8) + [0, 1] + bytes([version, 0])
    prelude += bytes([
      UInt64(text.count), XXH3_64bits(text, text.count), UInt64(start + data.count), 0, 0,
    ])
    prelude += bytes([XXH3_64bits(prelude, prelude.count)])
    let padding = [UInt8](repeating: 0, count: start - 64 - text.count)
    return prelude + text + padding + data
  }

  static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  static func tensor(
    _ name: JSON = "a", dtype: JSON = "F32", shape: JSON = [2], offset: JSON = 0, bytes: JSON = 8,
    xxh3: JSON = "0123456789abcdef"
  ) -> JSON {
    [
      "name": name, "dtype": dtype, "shape": shape, "offset": offset, "bytes": bytes, "xxh3": xxh3,
    ]
  }

  static func header(_ tensors: [JSON], name: JSON = "model") -> JSON {
    ["files": [], "components": [["name": name, "tensors": .array(tensors)]]]
  }

  @Test func readsAHeaderWrittenByHand() throws {
    let scratch = try Scratch()
    let data = bytes([Float(1).bitPattern, Float(2).bitPattern])
    let tensor = FlatFileTests.tensor(
      xxh3: .string(FlatFileTests.hexadecimal(XXH3_64bits(data, data.count))))
    let path = try scratch.write(
      FlatFileTests.file(FlatFileTests.header([tensor]), data: data), as: "file")
    let component = try ModelCheckpoint.open(path).components[0]
    #expect(component["a"]?.contiguousBytes() == data)
    #expect(try FlatFile.verify(path).isSound)
  }

  struct Refusal: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let header: JSON
    /// Part of the context; empty if the file as a whole is wrong.
    let context: String

    init(_ name: String, _ header: JSON, _ context: String) {
      testDescription = name
      self.header = header
      self.context = context
    }
  }

  static func embedded(_ path: JSON) -> JSON {
    [
      "files": [["path": path, "offset": 0, "bytes": 8, "xxh3": "0123456789abcdef"]],
      "components": [],
    ]
  }

  /// A ninth of these does not fit below 2^63.
  static func large(_ name: String) -> JSON {
    let count = JSON.integer(Int.max / 8)
    return tensor(.string(name), dtype: "U8", shape: [count], bytes: count)
  }

  static let refusals: [Refusal] = [
    Refusal("not an object", [1], ""),
    Refusal("no components", ["files": []], "the header.components"),
    Refusal("no files", ["components": []], "the header.files"),
    Refusal("component is no object", ["files": [], "components": [1]], "the header.components"),
    Refusal("name is no text", header([tensor(1)]), "components[0].tensors[0].name"),
    Refusal("name is duplicated", header([tensor(), tensor(offset: 64)]), "tensors[1].name"),
    Refusal("unknown type", header([tensor(dtype: "F99")]), "tensors[0].dtype"),
    Refusal("negative dimension", header([tensor(shape: [-2])]), "tensors[0].shape"),
    Refusal("fractional dimension", header([tensor(shape: [2.5])]), "tensors[0].shape"),
    Refusal("product overflows", header([tensor(shape: [.integer(.max), 2])]), "tensors[0].bytes"),
    Refusal("bytes overflow", header([tensor(shape: [.integer(.max)])]), "tensors[0].bytes"),
    Refusal("bytes against shape", header([tensor(shape: [3])]), "tensors[0].bytes"),
    Refusal("negative offset", header([tensor(offset: -64)]), "tensors[0].offset"),
    Refusal("offset not where it belongs", header([tensor(offset: 64)]), "a"),
    Refusal("offset not aligned", header([tensor(offset: 4)]), "a"),
    Refusal(
      "overlap", header([tensor(shape: [1], bytes: 4), tensor("b", shape: [1], bytes: 4)]), "offset"
    ),
    Refusal("larger than the data", header([tensor(shape: [4], bytes: 16)]), "offset"),
    Refusal("smaller than the data", header([tensor(shape: [1], bytes: 4)]), "offset"),
    Refusal("sum overflows", header((0..<9).map { large("\($0)") }), "offset"),
    Refusal("checksum too short", header([tensor(xxh3: "123")]), "tensors[0].xxh3"),
    Refusal("component named as a path", header([tensor()], name: "../unet"), "components[0].name"),
    Refusal("hidden component", header([tensor()], name: ".unet"), "components[0].name"),
    Refusal("absolute path", embedded("/etc/passwd"), "files[0].path"),
    Refusal("path upwards", embedded("unet/../../x"), "files[0].path"),
    Refusal("path upwards among marks", embedded("u\u{600}/../\u{301}x"), "files[0].path"),
    Refusal("empty path", embedded(""), "files[0].path"),
    Refusal("path with backslash", embedded("a\\b"), "files[0].path"),
    Refusal(
      "configuration that is not there",
      [
        "files": [],
        "components": [["name": "unet", "configuration": "unet/config.json", "tensors": []]],
      ], "components[0].configuration"),
  ]

  @Test(arguments: refusals)
  func refuses(refusal: Refusal) throws {
    let scratch = try Scratch()
    let file = FlatFileTests.file(refusal.header, data: [UInt8](repeating: 0, count: 8))
    let path = try scratch.write(file, as: "file")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(path) })
    #expect(error.code == .malformed, "\(error)")
    #expect(error.file == path)
    #expect(
      refusal.context.isEmpty || error.context?.contains(refusal.context) == true, "\(error)")
  }

  @Test func refusesOtherVersions() throws {
    let scratch = try Scratch()
    let empty: JSON = ["files": [], "components": []]
    let path = try scratch.write(FlatFileTests.file(empty, version: 2), as: "file")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(path) })
    #expect(error.code == .unsupported)
    #expect(error.context == "version")
  }

  @Test func refusesRequiredFieldsThatAreNotKnown() throws {
    let scratch = try Scratch()
    let header: JSON = [
      "files": [], "components": [], "scales": [1], "requires": ["files", "scales"],
    ]
    let path = try scratch.write(FlatFileTests.file(header), as: "file")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(path) })
    #expect(error.code == .unsupported)
    #expect(error.message.contains("scales"))
  }

  /// Unknown fields that are not required survive a conversion.
  @Test func keepsOptionalFieldsThatAreNotKnown() throws {
    let scratch = try Scratch()
    let data = bytes([Float(1).bitPattern, Float(2).bitPattern])
    var tensor = try #require(
      FlatFileTests.tensor(xxh3: .string(FlatFileTests.hexadecimal(XXH3_64bits(data, data.count))))
        .object)
    tensor["note"] = "of a tensor"
    let header: JSON = [
      "files": [],
      "components": [
        ["name": "model", "note": "of a component", "tensors": [.object(tensor)]]
      ],
      "note": ["of": "the header"],
    ]
    let path = try scratch.write(FlatFileTests.file(header, data: data), as: "file")
    try Conversion(of: ModelCheckpoint.open(path), to: .sdflat, at: scratch.path("copy")).execute()
    let copy = try FlatFileTests.header(try scratch.contents("copy")).json
    #expect(copy["note"] == ["of": "the header"])
    #expect(copy["components"]?.array?[0]["note"] == "of a component")
    #expect(copy["components"]?.array?[0]["tensors"]?.array?[0]["note"] == "of a tensor")
  }
}
