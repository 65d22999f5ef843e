import ModelGraph
import OrderedJSON
import Testing

/// ControlNets, tiny autoencoders and the safety checker by their published configurations.
@Suite struct AdditionalNetworkTests {
  private static func controlNet(_ change: (inout JSONObject) -> Void = { _ in }) throws
    -> JSONObject
  {
    var object = try #require(Published.unet.object)
    for field in ["out_channels", "up_block_types", "sample_size", "center_input_sample"] {
      object[field] = nil
    }
    change(&object)
    return object
  }

  private func count(_ graphs: [Graph]) -> Int {
    graphs.flatMap(\.parameters).reduce(0) { $0 + $1.elementCount }
  }

  /// As diffusers counts, printed by
  ///
  ///     python3 -c 'from diffusers import ControlNetModel as C; m = C(cross_attention_dim=768)
  ///     print(len(list(m.parameters())), sum(p.numel() for p in m.parameters()))'
  @Test func controlNetIsThePublishedOne() throws {
    let graph = try ControlNet.graph(ControlNetConfiguration(Self.controlNet()))
    #expect(graph.parameters.count == 340)
    #expect(count([graph]) == 361_279_120)
    #expect(graph.outputs.count == 13)
    // Its residuals have the shapes of the UNet's inputs for them.
    let unet = try UNet.graph(
      UNetConfiguration(#require(Published.unet.object)), residualInputs: true)
    for output in graph.outputs {
      let name = ControlNet.residualInput(of: graph[output].name)
      let input = try #require(unet.inputs.first { unet[$0].name == name })
      #expect(unet[input].shape == graph[output].shape)
    }
    // Every original name is unique.
    #expect(Set(graph.parameters.map(\.singleFileName)).count == 340)
    let names = Set(graph.parameters.map(\.singleFileName))
    for name in [
      "input_hint_block.0.weight", "input_hint_block.14.bias", "zero_convs.0.0.weight",
      "zero_convs.11.0.bias", "middle_block_out.0.weight", "input_blocks.11.0.in_layers.0.weight",
      "middle_block.1.proj_in.weight", "time_embed.2.bias",
    ] {
      #expect(names.contains("control_model." + name), "\(name)")
    }
  }

  private static let otherControlNets: [(field: String, value: JSON)] = [
    ("controlnet_conditioning_channel_order", JSON.string("bgr")),
    ("global_pool_conditions", .bool(true)),
    ("conditioning_embedding_out_channels", [16, 32]),
    ("class_embed_type", .string("timestep")),
  ]

  @Test(arguments: otherControlNets)
  func otherControlNetsAreRefused(field: String, value: JSON) throws {
    let object = try Self.controlNet { $0[field] = value }
    let error = try #require(throws: GraphError.self) { try ControlNetConfiguration(object) }
    #expect(error.field == field)
    #expect(error.component == "controlnet")
  }

  /// 2 445 063 parameters in 134 tensors, as diffusers' AutoencoderTiny has them.
  @Test func tinyAutoencoderIsThePublishedOne() throws {
    let configuration = try TinyAutoencoderConfiguration(JSONObject())
    let graphs = [
      try TinyAutoencoder.encoder(configuration), try TinyAutoencoder.decoder(configuration),
    ]
    #expect(count([graphs[0]]) == 1_222_532)
    #expect(count([graphs[1]]) == 1_222_531)
    #expect(graphs.flatMap(\.parameters).count == 134)
    let names = graphs[1].parameters.map(\.singleFileName)
    #expect(names.first == "decoder.1.weight")
    #expect(names.last == "decoder.19.bias")
    #expect(names.contains("decoder.7.weight") && !names.contains("decoder.7.bias"))
    let output = graphs[1].shape(graphs[1].outputs[0], Sizes(height: 9, width: 12))
    #expect(output == [1, 3, 72, 96])
  }

  private static let otherTinyAutoencoders: [(field: String, value: JSON)] = [
    ("act_fn", JSON.string("gelu")), ("upsample_fn", .string("bilinear")), ("in_channels", 4),
    ("num_decoder_blocks", [3, 3]), ("decoder_block_out_channels", [64, 64, 64, 32]),
    ("scaling_factor", 0), ("mid_block", .bool(true)),
  ]

  @Test(arguments: otherTinyAutoencoders)
  func otherTinyAutoencodersAreRefused(field: String, value: JSON) {
    #expect(throws: GraphError.self) { try TinyAutoencoderConfiguration([field: value]) }
  }

  /// CLIP's vision model ViT-L/14 and a projection: 303 966 208 parameters; the concepts that it
  /// compares with are buffers.
  @Test func safetyCheckerIsThePublishedOne() throws {
    let vision: JSON = [
      "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
      "num_attention_heads": 16, "patch_size": 14,
    ]
    let graph = try SafetyChecker.graph(
      SafetyCheckerConfiguration(["projection_dim": 768, "vision_config": vision]))
    #expect(count([graph]) == 303_966_208)
    #expect(graph.parameters.count == 392)
    #expect(graph.buffers.count == 5)
    let tokens = try #require(graph.nodes.first { $0.operation == .prependToken })
    #expect(graph.shape(tokens.output, Sizes()) == [1, 257, 1024])
  }

  /// CLIPVisionModelWithProjection of ViT-B/32, whose sizes are transformers' defaults, printed by
  ///
  ///     python3 -c 'from transformers import CLIPVisionConfig as C, CLIPVisionModelWithProjection as M
  ///     m = M(C()); print(len(list(m.parameters())), sum(p.numel() for p in m.parameters()))'
  @Test func imageEncoderIsThePublishedOne() throws {
    let graph = try ImageEncoder.graph(ImageEncoderConfiguration(JSONObject()))
    #expect(count([graph]) == 87_849_216)
    #expect(graph.parameters.count == 200)
    #expect(graph.shape(graph.outputs[0], Sizes()) == [1, 512])
    let error = try #require(throws: GraphError.self) {
      try ImageEncoderConfiguration(["hidden_act": "relu"])
    }
    #expect(error.component == "image_encoder" && error.field == "hidden_act")
  }

  /// A graph cut in two computes the same in both parts together.
  @Test func cutting() throws {
    let unet = try Published.graphs()[1]
    let node = "up_blocks.3.resnets.2.concatenate"
    let giving = try #require(unet.giving(inputOf: node, as: "deep"))
    #expect(giving.outputs.map { giving[$0].name } == ["out_sample", "deep"])
    let taking = try #require(unet.taking(inputOf: node, as: "deep"))
    #expect(
      taking.inputs.map { taking[$0].name } == [
        "sample", "timestep", "encoder_hidden_states", "deep",
      ])
    let deep = try #require(taking.inputs.last)
    #expect(taking.shape(deep, Sizes()) == giving.shape(giving.outputs[1], Sizes()))
    #expect(taking.outputs.map { taking[$0].name } == ["out_sample"])
    // Remaining: the first convolution, the timestep, the last layer, and the end.
    let kept = Set(taking.nodes.map { $0.name.split(separator: ".").first.map(String.init) ?? "" })
    #expect(
      kept == ["time_proj", "time_embedding", "conv_in", "up_blocks", "conv_norm_out", "conv_out"])
    #expect(taking.nodes.allSatisfy { $0.name.hasPrefix("up_blocks.3") == $0.name.contains("up_") })
    let whole = LayerCost.total(unet.costs(Sizes())).macs
    let part = LayerCost.total(taking.costs(Sizes())).macs
    #expect(part < whole / 8)
    // Names without a node, and the graph's own inputs and outputs.
    #expect(unet.taking(inputOf: "nowhere", as: "deep").map(\.nodes) == nil)
    #expect(unet.giving(inputOf: "conv_in", as: "deep").map(\.nodes) == nil)
  }
}
