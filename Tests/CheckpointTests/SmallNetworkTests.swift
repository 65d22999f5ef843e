import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Small UNets and those of latent consistency models in every layout and back.
@Suite struct SmallNetworkTests {
  static let names = ["distilled", "mixed", "lcm"]

  static func path(_ name: String) -> String { Fixtures.path("networks/\(name)") }

  static func bytes(_ component: Component) throws -> [String: [UInt8]] {
    var result: [String: [UInt8]] = [:]
    for parameter in try #require(component.manifest).parameters {
      result[parameter.name] = try component.tensor(for: parameter).contiguousBytes()
    }
    return result
  }

  @Test(arguments: names + ["vae16"])
  func areSound(_ name: String) throws {
    let checkpoint = try ModelCheckpoint.open(Self.path(name))
    let verification = try Verification(of: checkpoint)
    #expect(verification.isSound && verification.unchecked.isEmpty, "\(verification)")
    let component = try #require(checkpoint.components.first)
    #expect(component.manifest?.unexpected.isEmpty == true)
    #expect(component.manifest?.parameters.count == component.tensors.count)
  }

  /// Bit for bit through every layout, with the configuration that says what the network is.
  @Test(arguments: names)
  func everyLayoutHoldsTheSame(_ name: String) throws {
    let scratch = try Scratch()
    let expected = try Self.bytes(ModelCheckpoint.open(Self.path(name)).require(.unet))
    let chain: [(Conversion.Target, String)] = [
      (.ldm, "a.safetensors"), (.sdflat, "b.sdflat"), (.diffusers, "c"), (.gguf, "d.gguf"),
      (.ldm, "e.ckpt"), (.diffusers, "f"), (.ldm, "g.safetensors"),
    ]
    var source = Self.path(name)
    for (target, file) in chain {
      try LayoutTests.convert(source, to: target, at: scratch.path(file))
      source = scratch.path(file)
      let component = try ModelCheckpoint.open(source).require(.unet)
      try component.requireComplete()
      #expect(component.manifest?.unexpected.isEmpty == true)
      #expect(try Self.bytes(component) == expected, "\(file)")
    }
    let first = try TensorFile.open(scratch.path("a.safetensors")).tensors.map(\.name)
    let last = try TensorFile.open(scratch.path("g.safetensors")).tensors.map(\.name)
    #expect(Set(first) == Set(last))
    #expect(first.allSatisfy { $0.hasPrefix("model.diffusion_model.") })
  }

  /// The inferred configuration of a file without one is the network, except for heads and groups.
  @Test(arguments: names)
  func configurationIsReadOffTheNames(_ name: String) throws {
    let scratch = try Scratch()
    try LayoutTests.convert(Self.path(name), to: .ldm, at: scratch.path("a.ckpt"))
    let read = try ModelCheckpoint.open(scratch.path("a.ckpt")).require(.unet)
    #expect(read.configuration?.origin == .inferred)
    let inferred = try UNetConfiguration(#require(read.configuration?.object))
    let stated = try UNetConfiguration(
      #require(
        try ModelCheckpoint.open(Self.path(name)).require(.unet).configuration?.object))
    #expect(inferred.blockChannels == stated.blockChannels)
    #expect(inferred.layersPerBlock == stated.layersPerBlock)
    #expect(inferred.transformerLayers == stated.transformerLayers)
    #expect(inferred.hasMiddle == stated.hasMiddle)
    #expect(inferred.downAttention == stated.downAttention)
    #expect(inferred.upAttention == stated.upAttention)
    #expect(inferred.guidanceWidth == stated.guidanceWidth)
    #expect(inferred.numbering == stated.numbering)
  }

  /// A file with the other block numbering is read, and keeps it through a repository.
  @Test(arguments: [
    ("BK-SDM-Tiny", BlockNumbering.consecutive), ("BK-SDM-Small", .consecutive),
    ("BK-SDM-Base", .threes), ("layers of its own", .consecutive),
    ("prompts alone in the first level", .consecutive),
  ])
  func otherNumbers(size: String, numbering: BlockNumbering) throws {
    let network = try #require(SpelledNetwork.all.first { $0.size == size })
    var configuration = network.configuration
    configuration[BlockNumbering.field] = .string(numbering.rawValue)
    let other = SpelledNetwork(
      size: size, architecture: .unet, configuration: configuration)
    let naming = Naming(.singleFile, prefix: "model.diffusion_model.")
    let (usual, tensors) = (try network.tensors(naming), try other.tensors(naming))
    #expect(Set(usual.map(\.name)) != Set(tensors.map(\.name)))
    let inferred = try #require(
      ConfigurationInference.configuration(of: .unet, tensors, path: "weights"))
    #expect(inferred.object[BlockNumbering.field]?.string == numbering.rawValue)
    let component = Component(
      name: .unet, architecture: inferred.architecture, configuration: inferred, path: "weights",
      format: .safetensors, tensors: tensors)
    #expect(component.manifest?.problems == [])
    #expect(component.graphs.map(\.parameters) == (try other.graphs().map(\.parameters)))
    #expect(
      Set(tensors.map(component.publishedName)) == Set(try network.parameters().map(\.name)))
  }

  /// A file of diffusers' script, which leaves the names of the first level's attention on the way up.
  @Test func filesOfTheScript() throws {
    let network = try #require(SpelledNetwork.all.first { $0.size == "BK-SDM-Tiny" })
    let naming = Naming(.singleFile, prefix: "model.diffusion_model.", spelling: 1)
    let tensors = try network.tensors(naming)
    #expect(
      tensors.contains {
        $0.name == "model.diffusion_model.up_blocks.0.attentions.0.proj_in.weight"
      })
    let file = TensorFile(path: "weights", format: .pytorch, tensors: tensors)
    let component = try #require(ModelCheckpoint.of(file).components.first)
    #expect(component.manifest?.problems == [])
    #expect(component.graphs.map(\.parameters) == (try network.graphs().map(\.parameters)))
  }

  /// The error keeps the field at fault.
  @Test(
    arguments: [
      ("mid_block_type", "UNetMidBlock2D"), ("norm_num_groups", nil), ("norm_num_groups", 7),
      ("attention_head_dim", 3), ("layers_per_block", [1, 1]),
      ("cross_attention_dim", [64, 32, 64]),
    ] as [(String, JSON)])
  func refusalsNameTheField(field: String, value: JSON) throws {
    var object = try #require(
      try ModelCheckpoint.open(Self.path("distilled")).require(.unet).configuration?.object)
    object[field] = value
    let component = Component(
      name: .unet, architecture: nil, configuration: Configuration(object: object, path: "c.json"),
      path: "weights", format: .safetensors, tensors: [])
    let error = try #require(throws: FormatError.self) { try component.graph(.unet) }
    #expect(error.context == field)
  }
}
