import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Opening of repositories, components and lone files.
@Suite struct RepositoryTests {
  static let model = Fixtures.path("shapes-v2")

  @Test func opensTheEmbeddedModel() throws {
    let checkpoint = try ModelCheckpoint.open(RepositoryTests.model)
    #expect(checkpoint.layout == .repository)
    #expect(checkpoint.components.map(\.name) == [.textEncoder, .unet, .vae])
    #expect(
      checkpoint.components.map(\.architecture)
        == ["CLIPTextModel", "UNet2DConditionModel", "AutoencoderKL"])
    #expect(checkpoint.components.map(\.format) == [.pytorch, .safetensors, .safetensors])
    #expect(checkpoint.warnings == [])
    for component in checkpoint.components { try component.requireComplete() }
    #expect(
      checkpoint[.vae]?.graphs.map(\.name) == [.vaeEncoder, .vaeDecoder])
    #expect(
      Set(checkpoint.files.map(\.path)) == [
        "model_index.json", "text_encoder/config.json", "unet/config.json", "vae/config.json",
        "scheduler/scheduler_config.json", "tokenizer/merges.txt",
        "tokenizer/special_tokens_map.json", "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
      ])
  }

  @Test func prefersTheFormatAskedFor() throws {
    let bin = try ModelCheckpoint.open(RepositoryTests.model, preferring: .bin)
    // The UNet has no .bin, the VAE has both.
    #expect(bin.components.map(\.format) == [.pytorch, .safetensors, .pytorch])
    let safetensors = try ModelCheckpoint.open(RepositoryTests.model)
    let left = try #require(bin[.vae]).tensors
    let right = try #require(safetensors[.vae])
    #expect(left.count == right.tensors.count)
    for tensor in left {
      #expect(right[tensor.name]?.contiguousBytes() == tensor.contiguousBytes(), "\(tensor.name)")
    }
  }

  @Test func givesParametersUnderTodaysNames() throws {
    let checkpoint = try ModelCheckpoint.open(RepositoryTests.model)
    let vae = try checkpoint.require(.vae)
    let name = "decoder.mid_block.attentions.0.to_q.weight"
    let old = "decoder.mid_block.attentions.0.query.weight"
    let tensor = try vae.tensor(named: name)
    #expect(tensor.name == old)
    #expect(tensor.contiguousBytes() == vae[old]?.contiguousBytes())
    for graph in checkpoint.components.flatMap(\.graphs) {
      let component = try #require(
        checkpoint.components.first { $0.graphs.contains { $0.name == graph.name } })
      for parameter in graph.parameters {
        #expect(try component.tensor(for: parameter).shape.dimensions == parameter.shape)
      }
    }
    let error = try failure { _ = try vae.tensor(named: "decoder.nothing.weight") }
    #expect(error?.code == .mismatch)
    #expect(error?.context == "decoder.nothing.weight")
  }

  @Test func opensOneComponent() throws {
    let checkpoint = try ModelCheckpoint.open("\(RepositoryTests.model)/vae/")
    #expect(checkpoint.layout == .component)
    #expect(checkpoint.components.map(\.name) == [.vae])
    #expect(checkpoint.files.map(\.path) == ["vae/config.json"])
    try checkpoint.components[0].requireComplete()
  }

  @Test func opensAFileWithTheConfigurationBesideIt() throws {
    let path = "\(RepositoryTests.model)/unet/diffusion_pytorch_model.safetensors"
    let checkpoint = try ModelCheckpoint.open(path)
    #expect(checkpoint.layout == .file(.safetensors))
    #expect(checkpoint.components.map(\.name) == [.unet])
    try checkpoint.components[0].requireComplete()
  }

  @Test func opensAFileAlone() throws {
    let scratch = try Scratch()
    let path = scratch.path("weights")
    try FileManager.default.createSymbolicLink(
      atPath: path,
      withDestinationPath: "\(RepositoryTests.model)/unet/diffusion_pytorch_model.safetensors")
    let unet = try ModelCheckpoint.open(path).components
    #expect(unet.map(\.name) == [.unet])
    // Its shapes say what it is.
    #expect(unet[0].configuration?.origin == .inferred)
    #expect(unet[0].manifest?.problems == [])

    try Safetensors.write(
      ["conv_in.weight", "conv_out.weight", "time_embedding.linear_1.weight"].map {
        .floats($0, [1])
      }, to: scratch.path("fragment"))
    let fragment = try ModelCheckpoint.open(scratch.path("fragment")).components
    #expect(fragment.map(\.name) == [.unet])
    #expect(fragment[0].manifest == nil)
    let error = try failure { _ = try fragment[0].graph(.unet) }
    #expect(error?.code == .unsupported)
    #expect(error?.message.contains("config.json") == true)

    try Safetensors.write([.floats("a.b", [1])], to: scratch.path("foreign"))
    let foreign = try ModelCheckpoint.open(scratch.path("foreign")).components
    #expect(foreign.map(\.name) == [.model])
    #expect(foreign[0].architecture == nil)
  }

  @Test(arguments: [false, true])
  func splitsASingleFile(isTraining: Bool) throws {
    let scratch = try Scratch()
    let prefix = isTraining ? "state_dict." : ""
    let names = [
      "model.diffusion_model.out.0.weight", "first_stage_model.quant_conv.bias",
      "cond_stage_model.transformer.text_model.final_layer_norm.bias",
      "model_ema.diffusion_modelout0weight", "model_ema.decay", "betas",
    ]
    try Safetensors.write(
      names.map { .floats(prefix + $0, [1, 2, 3]) }, to: scratch.path("single"))
    let checkpoint = try ModelCheckpoint.open(scratch.path("single"))
    let names2 = checkpoint.components.map(\.name)
    #expect(names2 == [.textEncoder, .unet, .vae, .unetEMA, .other])
    let summary = Summary(checkpoint)
    #expect(summary.components.map(\.parameters) == [3, 3, 3, 3, 0])
    #expect(summary.components.map(\.buffers) == [0, 0, 0, 3, 3])
  }

  /// transformers 5 writes the class only where a configuration was saved with its network.
  @Test(arguments: [["architectures"], ["architectures", "model_type"]])
  func knowsATextEncoderWithoutItsClass(absent: [String]) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    var configuration = try #require(
      try JSON(parsing: Fixtures.text("shapes-v2/text_encoder/config.json")).object)
    for field in absent { configuration[field] = nil }
    try scratch.write(JSON.object(configuration).text(), as: "model/text_encoder/config.json")
    let text = try ModelCheckpoint.open(model).require(.textEncoder)
    #expect(text.architecture == "CLIPTextModel")
  }

  // MARK: Errors

  @Test func refusesAMissingPath() throws {
    let error = try failure { _ = try ModelCheckpoint.open("/nowhere/model") }
    #expect(error?.code == .notFound)
    #expect(error?.file == "/nowhere/model")
  }

  @Test func refusesADirectoryOfSomethingElse() throws {
    let scratch = try Scratch()
    let error = try failure { _ = try ModelCheckpoint.open(scratch.path) }
    #expect(error?.code == .unrecognized)
    #expect(error?.hint != nil)
  }

  @Test(arguments: [ComponentName.unet, .vae, .textEncoder])
  func namesTheMissingNetwork(name: ComponentName) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try scratch.remove("model/\(name)")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(error.code == .notFound)
    #expect(error.message.contains(name.title))
    #expect(error.message.contains(name.rawValue))
    #expect(error.file == model)
    #expect(error.hint?.contains("\(name)/") == true)
  }

  @Test func namesMissingWeightsAndConfiguration() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try scratch.remove("model/unet/diffusion_pytorch_model.safetensors")
    let weights = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(weights.code == .notFound)
    #expect(weights.message.contains("UNet has no weights"))
    for variant in ["fp16", "non_ema"] {
      try scratch.write([1], as: "model/unet/diffusion_pytorch_model.\(variant).safetensors")
    }
    let variant = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(variant.message.contains("diffusion_pytorch_model.fp16.safetensors"))

    try scratch.remove("model/text_encoder/config.json")
    let configuration = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(configuration.code == .notFound)
    #expect(configuration.file == scratch.path("model/text_encoder/config.json"))
  }

  @Test(arguments: [
    ("{\"_class_name\": \"AutoencoderKL\",}", 32), ("[1, 2]", 0), ("", 0), ("{\"a\": 1", 7),
  ])
  func saysWhereAConfigurationIsBroken(text: String, offset: Int) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let path = try scratch.write(text, as: "model/vae/config.json")
    let error = try #require(try failure { _ = try ModelCheckpoint.open(model) })
    #expect(error.code == .malformed)
    #expect(error.file == path)
    #expect(error.offset == offset)
  }

  @Test func namesTheFieldThatIsNotSupported() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    var configuration = try #require(
      try JSON(parsing: Fixtures.text("shapes-v2/unet/config.json")).object)
    configuration["resnet_time_scale_shift"] = "scale_shift"
    let path = try scratch.write(
      JSON.object(configuration).text(), as: "model/unet/config.json")
    // Inspecting still works, and says why the rest does not.
    let checkpoint = try ModelCheckpoint.open(model)
    #expect(checkpoint.warnings.count == 1)
    #expect(checkpoint.warnings[0].contains("resnet_time_scale_shift"))
    let error = try #require(try failure { _ = try checkpoint.require(.unet) })
    #expect(error.code == .unsupported)
    #expect(error.file == path)
    #expect(error.context == "resnet_time_scale_shift")
  }
}
