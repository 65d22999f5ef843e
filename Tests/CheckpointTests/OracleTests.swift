import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// How other libraries read the files that conversions write.
@Suite(.serialized, .python("numpy"))
struct OracleTests {
  static func script(_ name: String) -> String {
    Fixtures.path("../Tests/CheckpointTests/Oracle/\(name)")
  }

  /// A reader in Python, written from docs/flat-format.md with the standard library and numpy
  /// alone, reads every tensor as we do.
  @Test func aReaderFromTheSpecificationReadsTheSame() throws {
    let python = try #require(Tool.python)
    let scratch = try Scratch()
    try ConversionTests.convert(ConversionTests.model, to: .sdflat, at: scratch.path("flat"))
    let result = try Tool.launch(
      python, [OracleTests.script("read_sdflat.py"), scratch.path("flat")])
    #expect(result.status == 0, "\(result.errors)")
    let rows = try result.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
    let checkpoint = try ModelCheckpoint.open(scratch.path("flat"))
    let tensors = rows.filter { $0["component"]?.string != nil }
    #expect(rows.count - tensors.count == checkpoint.files.count)
    #expect(tensors.count == checkpoint.components.reduce(0) { $0 + $1.tensors.count })
    for row in tensors {
      let component = ComponentName(rawValue: row["component"]?.string ?? "")
      let tensor = try #require(checkpoint[component]?[row["name"]?.string ?? ""])
      #expect(row["dtype"]?.string == tensor.dtype.rawValue)
      #expect(row["shape"]?.array?.compactMap(\.int) == tensor.shape.dimensions)
      let digest = TensorDigest.sha256(of: tensor)
      #expect(row["sha256"]?.string == digest, "\(tensor.name)")
    }
  }

  /// It rejects what we reject.
  @Test func aReaderFromTheSpecificationNoticesDamage() throws {
    let python = try #require(Tool.python)
    let scratch = try Scratch()
    try ConversionTests.convert(
      "\(ConversionTests.model)/vae", to: .sdflat, at: scratch.path("flat"))
    let bytes = try scratch.contents("flat")
    for offset in [9, 20, 50, 100, 5000, bytes.count / 2, bytes.count - 1] {
      var damaged = bytes
      damaged[offset] ^= 1
      try scratch.write(damaged, as: "damaged")
      let result = try Tool.launch(
        python, [OracleTests.script("read_sdflat.py"), scratch.path("damaged")])
      #expect(result.status == 1, "byte \(offset)")
      #expect(try failure { try FlatTools.requireSound(scratch.path("damaged")) } != nil)
    }
  }

  /// torch, safetensors, diffusers and transformers load what we write, with equal values.
  @Test(.python("torch", "safetensors", "diffusers", "transformers"))
  func othersLoadWhatWeWrite() throws {
    let scratch = try Scratch()
    let reference = try Self.write(
      [
        ("ldm.safetensors", .ldm, nil, nil), ("ldm.ckpt", .ldm, nil, nil),
        ("vae.safetensors", .ldm, nil, [.vae]), ("repository-bin", .diffusers, .bin, nil),
      ], to: scratch)
    let model = ConversionTests.model
    try LayoutTests.convert(
      scratch.path("ldm.safetensors"), to: .diffusers, at: scratch.path("repository")
    ) { $0.companions = try ModelCheckpoint.open(model).files }
    #expect(try Self.check(reference, scratch, "torch") == 13)
  }

  /// The gguf package does, too.
  @Test(.python("gguf", "safetensors"))
  func ggufLoadsWhatWeWrite() throws {
    let scratch = try Scratch()
    let reference = try Self.write(
      [("ldm.safetensors", .ldm, nil, nil), ("model.gguf", .gguf, nil, nil)], to: scratch)
    #expect(try Self.check(reference, scratch, "gguf") == 1)
  }

  /// Converts the bundled model into each of `outputs` in `scratch`; returns the path of its
  /// repository in safetensors, which the original's text encoder is not.
  private static func write(
    _ outputs: [(String, Conversion.Target, WeightsFormat?, [ComponentName]?)], to scratch: Scratch
  ) throws -> String {
    let reference = scratch.path("reference")
    try ConversionTests.convert(ConversionTests.model, to: .diffusers, at: reference)
    for (name, target, format, components) in outputs {
      try LayoutTests.convert(reference, to: target, at: scratch.path(name)) {
        $0.format = format
        $0.components = components
      }
    }
    return reference
  }

  /// The number of checks of `scratch` with `library`, all of which passed.
  private static func check(
    _ reference: String, _ scratch: Scratch, _ library: String
  ) throws -> Int {
    let result = try Tool.launch(
      try #require(Tool.python), [script("check_layouts.py"), reference, scratch.path, library])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
    let lines = result.output.split(separator: "\n")
    #expect(lines.allSatisfy { $0.hasPrefix("ok ") }, "\(result.output)")
    return lines.count
  }
}
