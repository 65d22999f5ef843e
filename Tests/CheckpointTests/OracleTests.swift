import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// What others make of the files that conversions write.
///
/// Skipped where SDKIT_PYTHON names no Python, and there is none in the project's `.venv`; what needs
/// torch or diffusers is skipped, with its reason printed, where that Python lacks them.
@Suite(
  .serialized,
  .enabled(if: Tool.python != nil, "no Python: set SDKIT_PYTHON or make .venv"))
struct OracleTests {
  static func script(_ name: String) -> String {
    Fixtures.path("../Tests/CheckpointTests/Oracle/\(name)")
  }

  /// A reader in Python, written from docs/flat-format.md with the standard library and numpy alone,
  /// reads every tensor as we do.
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

  /// It refuses what we refuse.
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

  /// torch, safetensors, diffusers, transformers and gguf load what we write, with equal values.
  @Test func othersLoadWhatWeWrite() throws {
    let python = try #require(Tool.python)
    let scratch = try Scratch()
    let model = ConversionTests.model
    // The reference in safetensors, which its text encoder is not.
    try ConversionTests.convert(model, to: .diffusers, at: scratch.path("reference"))
    let reference = scratch.path("reference")
    let outputs: [(String, Conversion.Target, WeightsFormat?, [ComponentName]?)] = [
      ("ldm.safetensors", .ldm, nil, nil), ("ldm.ckpt", .ldm, nil, nil),
      ("vae.safetensors", .ldm, nil, [.vae]), ("repository-bin", .diffusers, .bin, nil),
      ("model.gguf", .gguf, nil, nil),
    ]
    for (name, target, format, components) in outputs {
      try LayoutTests.convert(reference, to: target, at: scratch.path(name)) {
        $0.format = format
        $0.components = components
      }
    }
    try LayoutTests.convert(
      scratch.path("ldm.safetensors"), to: .diffusers, at: scratch.path("repository")
    ) { $0.companions = try ModelCheckpoint.open(model).files }
    let result = try Tool.launch(
      python, [OracleTests.script("check_layouts.py"), reference, scratch.path])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
    let lines = result.output.split(separator: "\n")
    let skipped = lines.filter { $0.hasPrefix("skip") }
    for line in skipped { print("OracleTests: \(line)") }
    #expect(lines.allSatisfy { $0.hasPrefix("ok ") || $0.hasPrefix("skip ") }, "\(result.output)")
    #expect(lines.count { $0.hasPrefix("ok ") } == (skipped.isEmpty ? 14 : 2 - skipped.count))
  }
}
