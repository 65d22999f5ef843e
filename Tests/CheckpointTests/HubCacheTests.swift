import Checkpoint
import Foundation
import ModelFormats
import TestSupport
import Testing

/// Folders of the Hugging Face cache as paths, and what interrupted downloads leave there.
@Suite struct HubCacheTests {
  /// A cache directory with snapshots of the bundled model.
  static func cache(
    _ scratch: Scratch, snapshots: [String], main: String? = nil
  ) throws -> String {
    let model = try scratch.linkedRepository()
    let files = FileManager.default
    let root = scratch.path("models--org--name")
    for folder in ["snapshots", "refs", "blobs"] {
      try files.createDirectory(atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
    }
    for name in snapshots {
      try files.copyItem(atPath: model, toPath: "\(root)/snapshots/\(name)")
    }
    if let main { try scratch.write(main, as: "models--org--name/refs/main") }
    return root
  }

  @Test(arguments: [("0123\n", ["0123", "4567"]), (nil, ["0123"])] as [(String?, [String])])
  func aCacheFolderIsItsSnapshot(main: String?, snapshots: [String]) throws {
    let scratch = try Scratch()
    let root = try HubCacheTests.cache(scratch, snapshots: snapshots, main: main)
    for path in [root, "\(root)/", "\(root)/snapshots"] {
      let checkpoint = try ModelCheckpoint.open(path)
      #expect(checkpoint.path == "\(root)/snapshots/0123")
      #expect(checkpoint.components.map(\.name) == [.textEncoder, .unet, .vae])
      #expect(checkpoint.warnings == [])
    }
  }

  @Test func snapshotsThatNoRefChoosesAreListed() throws {
    let scratch = try Scratch()
    let root = try HubCacheTests.cache(scratch, snapshots: ["0123", "4567"])
    let several = try #require(try failure { _ = try ModelCheckpoint.open(root) })
    #expect(several.code == .notFound && several.message.contains("2 snapshots"))
    for name in ["0123", "4567"] {
      #expect(several.hint?.contains("\(root)/snapshots/\(name)") == true)
    }
    try scratch.write("89ab", as: "models--org--name/refs/main")
    let other = try #require(try failure { _ = try ModelCheckpoint.open(root) })
    #expect(other.message.contains("refs/main names the snapshot 89ab, which does not exist"))
    // A ref that points elsewhere is ignored.
    try scratch.write("../../secret", as: "models--org--name/refs/main")
    #expect(try failure { _ = try ModelCheckpoint.open(root) }?.message == several.message)
    let empty = try HubCacheTests.cache(try Scratch(), snapshots: [])
    #expect(try failure { _ = try ModelCheckpoint.open(empty) }?.code == .notFound)
  }

  /// Each file of a snapshot in turn links to a missing blob.
  @Test(arguments: [
    ("unet/diffusion_pytorch_model.safetensors", true), ("unet/config.json", true),
    ("text_encoder/pytorch_model.bin", true), ("tokenizer/vocab.json", false),
    ("model_index.json", false),
  ])
  func danglingLinksAreNamed(file: String, isFatal: Bool) throws {
    let scratch = try Scratch()
    let root = try HubCacheTests.cache(scratch, snapshots: ["0123"], main: "0123")
    let place = "models--org--name/snapshots/0123/\(file)"
    try scratch.remove(place)
    let target = file.contains("/") ? "../../../blobs/abc" : "../../blobs/abc"
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path(place), withDestinationPath: target)
    try scratch.write("half", as: "models--org--name/blobs/abc.incomplete")
    let name = file.split(separator: "/").last ?? ""
    let says =
      "\(name) is a link to \(target), which does not exist: the download is incomplete "
      + "(found abc.incomplete)"
    guard isFatal else {
      let warnings = try ModelCheckpoint.open(root).warnings
      #expect(warnings.contains { $0.hasSuffix(says) }, "\(warnings)")
      #expect(
        warnings.last == "the cache holds an unfinished download: blobs/abc.incomplete")
      return
    }
    for path in [root, "\(root)/snapshots/0123"] {
      let error = try #require(try failure { _ = try ModelCheckpoint.open(path) })
      #expect(error.code == .notFound)
      #expect(error.message == says)
      #expect(error.file == scratch.path(place))
      #expect(error.hint?.contains("blobs/abc.incomplete") == true)
    }
    // A component's directory alone, and the link itself.
    let folder = scratch.path(place).dropLast(name.count + 1)
    let lone = try #require(try failure { _ = try ModelCheckpoint.open(String(folder)) })
    #expect(lone.message == says)
    let link = try #require(try failure { _ = try ModelCheckpoint.open(scratch.path(place)) })
    #expect(link.code == .notFound && link.message.contains("is a link to \(target)"))
  }

  /// Other weights of the same component are read, and the link is reported.
  @Test func aDanglingLinkBesideWholeWeightsIsAWarning() throws {
    let scratch = try Scratch()
    let root = try HubCacheTests.cache(scratch, snapshots: ["0123"], main: "0123")
    let place = "models--org--name/snapshots/0123/vae/diffusion_pytorch_model.safetensors"
    try scratch.remove(place)
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path(place), withDestinationPath: "../../../blobs/abc")
    let checkpoint = try ModelCheckpoint.open(root)
    #expect(checkpoint[.vae]?.format == .pytorch)
    #expect(
      checkpoint.warnings == [
        "vae: diffusion_pytorch_model.safetensors is a link to ../../../blobs/abc, which does "
          + "not exist: the download is incomplete"
      ])
  }

  /// A shard that is a broken link is reported as one.
  @Test func danglingShardsAreNamed() throws {
    let scratch = try Scratch()
    try scratch.write(
      "{\"weight_map\": {\"a\": \"model-00001-of-00001.safetensors\"}}",
      as: "unet/model.safetensors.index.json")
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path("unet/model-00001-of-00001.safetensors"),
      withDestinationPath: "../blobs/abc")
    let error = try #require(
      try failure {
        _ = try ModelCheckpoint.open(scratch.path("unet/model.safetensors.index.json"))
      })
    #expect(error.code == .notFound)
    #expect(error.message.contains("is a link to ../blobs/abc, which does not exist"))
  }

  /// A pipeline whose index lists a transformer needs no UNet.
  @Test func repositoriesOfOtherFamiliesOpen() throws {
    let scratch = try Scratch()
    try scratch.write(
      """
      {"_class_name": "FluxPipeline", "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
       "transformer": ["diffusers", "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]}
      """, as: "model/model_index.json")
    try scratch.write(
      "{\"_class_name\": \"FluxTransformer2DModel\", \"guidance_embeds\": true}",
      as: "model/transformer/config.json")
    try Safetensors.write(
      [.floats("some.weight", [1])],
      to: scratch.path("model/transformer/diffusion_pytorch_model.safetensors"))
    let vae = try #require(try failure { _ = try ModelCheckpoint.open(scratch.path("model")) })
    #expect(vae.context == "vae")
    try FileManager.default.createSymbolicLink(
      atPath: scratch.path("model/vae"), withDestinationPath: Fixtures.path("shapes-v2/vae"))
    let checkpoint = try ModelCheckpoint.open(scratch.path("model"))
    #expect(checkpoint.components.map(\.name.rawValue) == ["vae", "transformer"])
    let recognition = Recognition(checkpoint)
    #expect(recognition.family.id == "flux1-dev")
    #expect(
      recognition.reasons == [
        "model_index.json: the class is FluxPipeline, guidance_embeds is true"
      ])
    let error = try #require(try failure { _ = try checkpoint.require(.unet) })
    #expect(error.hint?.contains("FLUX.1 [dev], which is not supported here") == true)
    try scratch.remove("model/transformer")
    let missing = try #require(try failure { _ = try ModelCheckpoint.open(scratch.path("model")) })
    #expect(missing.context == "transformer" && missing.code == .notFound)
  }
}
