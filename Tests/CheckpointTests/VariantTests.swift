import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Repositories that contain the same weights several times, or in several files.
@Suite struct VariantTests {
  static let unet = "model/unet/diffusion_pytorch_model"

  /// The bundled model's UNet with every value zero, written as `name`.
  static func writeZeros(_ name: String, in scratch: Scratch) throws {
    let tensors = try TensorFile.open(scratch.path(unet + ".safetensors")).tensors
    try Safetensors.write(
      tensors.map { .zeros($0.name, $0.dtype, $0.shape) }, to: scratch.path(name))
  }

  @Test func readsTheVariantAskedFor() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try VariantTests.writeZeros(VariantTests.unet + ".fp16.safetensors", in: scratch)
    let plain = try ModelCheckpoint.open(model)
    #expect(plain[.unet]?.path.hasSuffix("diffusion_pytorch_model.safetensors") == true)
    #expect(
      plain.unreadWeights.map(\.path)
        == [
          "unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin",
        ])
    #expect(plain.unreadWeights.map(\.variant) == ["fp16", nil])

    let variant = try ModelCheckpoint.open(model, variant: "fp16")
    let unet = try variant.require(.unet)
    #expect(unet.path.hasSuffix("diffusion_pytorch_model.fp16.safetensors"))
    #expect(unet.tensors.allSatisfy { $0.contiguousBytes().allSatisfy { $0 == 0 } })
    // The other networks have no such variant, which is said.
    #expect(variant.warnings.count == 2)
    #expect(variant.warnings.allSatisfy { $0.contains("no variant fp16") })
    #expect(variant[.vae]?.path.hasSuffix("diffusion_pytorch_model.safetensors") == true)
  }

  /// Unread weights next to those that are read are named, also by conversions, whatever their
  /// names.
  @Test func whatIsNotReadIsNamed() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    for name in [
      "unet/Diffusion_Pytorch_Model.SAFETENSORS", "unet/model.ckpt", "unet/unet-Q4_0.gguf",
      "whole.safetensors",
    ] {
      try scratch.write([1], as: "model/\(name)")
    }
    let source = try ModelCheckpoint.open(model)
    let paths = [
      "unet/Diffusion_Pytorch_Model.SAFETENSORS", "unet/model.ckpt", "unet/unet-Q4_0.gguf",
      "vae/diffusion_pytorch_model.bin", "whole.safetensors",
    ]
    #expect(source.unreadWeights.map(\.path) == paths)
    #expect(
      source.unreadWeights.map(\.format) == [
        "safetensors", "pytorch", "gguf", "bin", "safetensors",
      ])
    let plan = try Conversion(of: source, to: .sdflat, at: scratch.path("out"))
    #expect(
      plan.leftOutLines.contains {
        $0.hasPrefix("not read: 5 files of weights next to these: \(paths[0])")
      })
    let unread = plan.json["unread_weights"]?.array ?? []
    #expect(unread.map { $0["path"]?.string } == paths)
    #expect(source.otherWeights == paths)
  }

  @Test func namesTheVariantsThatThereAre() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let none = try #require(
      try failure { _ = try ModelCheckpoint.open(model, variant: "fp16") })
    #expect(none.code == .notFound)
    #expect(none.hint?.contains("no variants") == true)
    for variant in ["fp16", "non_ema"] {
      try scratch.write([1], as: VariantTests.unet + ".\(variant).bin")
    }
    let other = try #require(
      try failure { _ = try ModelCheckpoint.open(model, variant: "bf16") })
    #expect(other.hint?.contains("fp16, non_ema") == true)
    #expect(other.file == model)

    try scratch.remove(VariantTests.unet + ".safetensors")
    let missing = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(missing.code == .notFound)
    #expect(missing.hint?.mentions(.variant, "fp16") == true)

    let component = try #require(
      try failure { _ = try ModelCheckpoint.open(model + "/unet", variant: "bf16") })
    #expect(component.hint?.contains("fp16, non_ema") == true)
    let file = try #require(
      try failure {
        _ = try ModelCheckpoint.open(
          model + "/vae/diffusion_pytorch_model.safetensors", variant: "fp16")
      })
    #expect(file.code == .mismatch)
  }

  /// Weights of one variant and no others are read without being asked for, which is said.
  @Test func readsTheOnlyVariant() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try VariantTests.writeZeros(VariantTests.unet + ".fp16.safetensors", in: scratch)
    try scratch.remove(VariantTests.unet + ".safetensors")
    let whole = try ModelCheckpoint.open(model)
    let part = try ModelCheckpoint.open(model + "/unet")
    for source in [whole, part] {
      let unet = try source.require(.unet)
      #expect(unet.path.hasSuffix("diffusion_pytorch_model.fp16.safetensors"))
      #expect(
        source.warnings.contains {
          $0.contains("diffusion_pytorch_model.fp16.safetensors was read, since")
        })
    }
    try scratch.write([1], as: VariantTests.unet + ".non_ema.bin")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(error.hint?.contains("(there are fp16, non_ema)") == true)
  }

  /// The index of a variant's shards is not a file of its own next to the weights.
  @Test func anIndexIsNotCopied() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    for name in ["diffusion_pytorch_model.safetensors.index.fp16", "model.safetensors.index"] {
      try scratch.write(Array("{}".utf8), as: "model/unet/\(name).json")
    }
    let paths = try ModelCheckpoint.open(model).files.map(\.path)
    #expect(paths.contains("unet/config.json"))
    #expect(!paths.contains { $0.contains("index") && $0 != "model_index.json" })
  }

  /// A training program's networks in directories, without an index.
  @Test func foldersWithoutAnIndexNeedNoOthers() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    for name in ["model_index.json", "vae", "text_encoder", "tokenizer", "scheduler"] {
      try scratch.remove("model/\(name)")
    }
    try FileManager.default.copyItem(
      atPath: scratch.path("model/unet"), toPath: scratch.path("model/unet_ema"))
    let source = try ModelCheckpoint.open(model)
    #expect(source.components.map(\.name.rawValue) == ["unet", "unet_ema"])
    try scratch.remove("model/unet/diffusion_pytorch_model.safetensors")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(error.code == .notFound && error.context == "unet")
  }

  /// Shards, of the weights or of a variant, are read as one.
  @Test(arguments: [nil, "fp16"])
  func readsShards(variant: String?) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let whole = try TensorFile.open(scratch.path(VariantTests.unet + ".safetensors"))
    let middle = variant.map { ".\($0)" } ?? ""
    var map = JSONObject()
    for number in 1...3 {
      let tensors = whole.tensors.enumerated().filter { $0.offset % 3 == number - 1 }.map(\.element)
      let shard = "diffusion_pytorch_model\(middle)-0000\(number)-of-00003.safetensors"
      try Safetensors.write(tensors, to: scratch.path("model/unet/\(shard)"))
      for tensor in tensors { map[tensor.name] = .string(shard) }
    }
    let index: JSON = ["metadata": [:], "weight_map": .object(map)]
    try scratch.write(
      index.text(), as: VariantTests.unet + ".safetensors.index\(middle).json")
    if variant == nil {
      // A complete file is preferred to shards, which are then not read.
      #expect(try ModelCheckpoint.open(model)[.unet]?.files.count == 1)
      try scratch.remove(VariantTests.unet + ".safetensors")
    }
    let unet = try ModelCheckpoint.open(model, variant: variant).require(.unet)
    #expect(unet.files.count == 3)
    let small = try ModelCheckpoint.open(model, variant: variant).files.map(\.path)
    #expect(!small.contains { $0.contains(".index.") }, "\(small)")
    for tensor in whole.tensors {
      #expect(unet[tensor.name]?.contiguousBytes() == tensor.contiguousBytes())
    }
    // A conversion takes them all.
    let flat = scratch.path("model.sdflat")
    try Conversion(
      of: ModelCheckpoint.open(model, variant: variant), to: .sdflat, at: flat
    ).execute()
    let sources = try ModelCheckpoint.open(flat).provenance?["sources"]?.array
    #expect(sources?.count == 5)
    #expect(try ModelCheckpoint.open(flat)[.unet]?.tensors.count == whole.tensors.count)
  }
}
