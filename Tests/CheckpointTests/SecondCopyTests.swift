import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Files that contain something twice, or in metadata: nothing is mixed or lost silently.
@Suite struct SecondCopyTests {
  /// A stray tensor under another prefix does not replace the network's own.
  @Test(arguments: [
    ("text_encoder.text_model.embeddings.token_embedding.weight", SingleFile.text),
    ("vae.encoder.conv_in.weight", SingleFile.vae),
  ])
  func copiesAreNotMixed(stray: String, prefix: String) throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let own =
      prefix
      + stray.split(separator: ".").dropFirst(prefix == SingleFile.vae ? 1 : 2)
      .joined(separator: ".")
    let original = try #require(single.tensors.first { $0.name == own })
    let other = Tensor(
      name: stray, dtype: original.dtype, shape: original.shape,
      storage: .memory([UInt8](repeating: 0x3C, count: original.byteCount)))
    let source = try single.write(
      "file", in: scratch, metadata: single.metadata, adding: [other])
    let plan = try Conversion(
      of: ModelCheckpoint.open(source), to: .ldm, at: scratch.path("out"))
    try plan.execute()
    let written = try TensorFile.open(scratch.path("out"))
    #expect(written[own]?.contiguousBytes() == original.contiguousBytes())
    #expect(plan.drops.map(\.name) == [stray])
  }

  static let scales: [(shape: Shape, fits: Bool)] = [
    ([1], true), ([4], true), ([4, 1], true), ([1, 4], false), ([4, 2], true), ([2, 2], false),
  ]

  /// A scale per output applies to each output only if its shape says so.
  @Test(arguments: scales)
  func scalesFitByTheirShape(shape: Shape, fits: Bool) throws {
    let scratch = try Scratch()
    let count = shape.elementCount ?? 0
    let ones = (0..<count).flatMap { _ in withUnsafeBytes(of: Float(1)) { [UInt8]($0) } }
    try Safetensors.write(
      [
        Tensor(
          name: "w.weight", dtype: .float8E4M3, shape: [4, 4],
          storage: .memory([UInt8](repeating: 0x38, count: 16))),
        Tensor(name: "w.scale_weight", dtype: .float32, shape: shape, storage: .memory(ones)),
      ], to: scratch.path("file"))
    func convert() throws {
      try Conversion(
        of: ModelCheckpoint.open(scratch.path("file")), to: .safetensors,
        at: scratch.path("out"), options: .init(dtype: .float32)
      ).execute()
    }
    let error = try failure { try convert() }
    #expect((error == nil) == fits)
    #expect(fits || error?.code == .unsupported && error?.context == "w.weight")
  }

  /// Metadata is copied to GGUF, and named if it cannot be stored.
  @Test func metadataAreNotLostSilently() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let source = try ModelCheckpoint.open(
      try single.write("file", in: scratch, metadata: [("modelspec.prediction_type", "v")]))
    let gguf = try Conversion(of: source, to: .gguf, at: scratch.path("gguf"))
    #expect(gguf.warnings.isEmpty)
    try gguf.execute()
    let pairs = try TensorFile.open(scratch.path("gguf")).metadata
    #expect(pairs.first { $0.key == "modelspec.prediction_type" }?.value == "v")
    var options = Conversion.Options()
    options.format = .bin
    let torch = try Conversion(of: source, to: .ldm, at: scratch.path("a.ckpt"), options: options)
    #expect(torch.warnings.contains { $0.contains("modelspec.prediction_type") })
  }

  /// The metadata of a repository's files cannot be stored in one file.
  @Test(arguments: [Conversion.Target.ldm, .gguf, .sdflat, .diffusers])
  func wordsOfSeveralFilesAreNamed(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let model = try scratch.repository(vae: { $0 })
    let path = model + "/vae/diffusion_pytorch_model.safetensors"
    let tensors = try TensorFile.open(path).tensors
    try FileManager.default.removeItem(atPath: path)
    try Safetensors.write(tensors, metadata: [("trained_by", "somebody")], to: path)
    let plan = try Conversion(
      of: ModelCheckpoint.open(model), to: target, at: scratch.path("out"))
    #expect(plan.warnings.contains { $0.contains("trained_by") } == (target != .diffusers))
  }

  /// What cannot be read was not compared.
  @Test func unreadValuesAreNotTheSame() throws {
    let path = Fixtures.path("formats/left_out.pt")
    let result = try Tool.run("sdinspect", ["diff", path, path, "--json"])
    #expect(result.status == 1)
    let object = try #require(try JSON(parsing: result.output).object)
    #expect(object["same"]?.bool == false)
    #expect(object["not_compared"]?.array?.isEmpty == false)
  }
}
