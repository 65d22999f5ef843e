import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// The published SD v1.5 configurations, with only the fields that shape the networks.
enum Published {
  static let unet: JSON = [
    "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2, "attention_head_dim": 8, "cross_attention_dim": 768,
    "norm_num_groups": 32, "norm_eps": 1e-05, "act_fn": "silu", "center_input_sample": false,
    "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
    "mid_block_scale_factor": 1, "sample_size": 64,
    "down_block_types": [
      "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D",
    ],
    "up_block_types": [
      "UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
    ],
  ]
  static let vae: JSON = [
    "act_fn": "silu", "block_out_channels": [128, 256, 512, 512], "in_channels": 3,
    "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
    "sample_size": 512,
    "down_block_types": [
      "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D",
    ],
    "up_block_types": [
      "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
    ],
  ]
  static let text: JSON = [
    "hidden_act": "quick_gelu", "hidden_size": 768, "intermediate_size": 3072,
    "layer_norm_eps": 1e-05, "max_position_embeddings": 77, "model_type": "clip_text_model",
    "num_attention_heads": 12, "num_hidden_layers": 12, "vocab_size": 49408,
  ]

  static func graphs() throws -> [Graph] {
    let text = try CLIPTextConfiguration(#require(text.object))
    let unet = try UNetConfiguration(#require(unet.object))
    let vae = try VAEConfiguration(#require(vae.object))
    return [
      try CLIPText.graph(text), try UNet.graph(unet), try VAE.decoder(vae), try VAE.encoder(vae),
    ]
  }
}

@Suite struct NetworkTests {
  /// The counts of the published key and shape lists of SD v1.5.
  @Test func countsAreThePublishedOnes() throws {
    let graphs = try Published.graphs()
    let tensors = graphs.map(\.parameters.count)
    let elements = graphs.map { $0.parameters.reduce(0) { $0 + $1.elementCount } }
    #expect(tensors[0] == 196)
    #expect(elements[0] == 123_060_480)
    #expect(tensors[1] == 686)
    #expect(elements[1] == 859_520_964)
    #expect(tensors[2] + tensors[3] == 248)
    #expect(elements[2] + elements[3] == 83_653_863)
    #expect(graphs[0].buffers.map(\.name) == ["text_model.embeddings.position_ids"])
  }

  /// The nine-channel input of the inpainting UNet adds 5 x 320 x 3 x 3 weights.
  @Test func inpaintingHasFiveMoreInputChannels() throws {
    var object = try #require(Published.unet.object)
    object["in_channels"] = 9
    let graph = try UNet.graph(UNetConfiguration(object))
    #expect(graph.parameters.reduce(0) { $0 + $1.elementCount } == 859_535_364)
  }

  /// One UNet evaluation at 512x512 was measured by others as 0.339 TMAC, which counts layers with
  /// weights; the matmuls inside attention are extra.
  @Test func unetCostsWhatIsPublished() throws {
    let unet = try Published.graphs()[1]
    let costs = unet.costs(Sizes())
    let total = costs.filter { $0.parameters > 0 }.reduce(0) { $0 + $1.macs }
    #expect(abs(Double(total) / 0.339e12 - 1) < 0.01, "\(total)")
    let attention = try #require(
      costs.first { $0.name == "down_blocks.0.attentions.0.transformer_blocks.0.attn1" })
    #expect(attention.macs == 2 * 4096 * 4096 * 320)
    #expect(costs.map(\.parameters).reduce(0, +) == 859_520_964)
    let first = try #require(costs.first { $0.name == "conv_in" })
    #expect(first.outputShape == [1, 320, 64, 64])
    #expect(first.macs == 64 * 64 * 320 * 4 * 9)
    #expect(first.activationBytes == 4 * 320 * 64 * 64)
  }

  /// The widest networks that a configuration may describe overflow `Int` in cost.
  @Test func costsBeyondIntStayAtItsEnd() throws {
    var object = try #require(Published.vae.object)
    object["block_out_channels"] = [65_536, 65_536, 65_536, 65_536]
    let decoder = try VAE.decoder(VAEConfiguration(object))
    let costs = decoder.costs(Sizes(height: 1024, width: 1024))
    #expect(LayerCost.total(costs).macs == .max)
    #expect(LayerTree.summed(costs, depth: 1).contains { $0.macs == .max })
  }

  @Test func layersSumUpByTheirNames() throws {
    let unet = try Published.graphs()[1]
    let costs = unet.costs(Sizes())
    let tree = LayerTree.summed(costs, depth: 1)
    #expect(tree.first?.name == "time_proj")
    #expect(tree.contains { $0.name == "down_blocks.0" && $0.kind == "module" })
    #expect(LayerCost.total(tree) == LayerCost.total(costs))
    #expect(LayerTree.summed(costs, depth: nil) == costs)
  }

  @Test func everyNodeReadsWhatWasComputedBefore() throws {
    for graph in try Published.graphs() {
      var known = Set(graph.inputs)
      for node in graph.nodes {
        #expect(known.isSuperset(of: node.inputs), "\(graph.name) \(node.name)")
        known.insert(node.output)
      }
      #expect(known.isSuperset(of: graph.outputs))
      #expect(Set(graph.nodes.map(\.name)).count == graph.nodes.count, "\(graph.name)")
    }
  }

  @Test func namesAreABijection() throws {
    for graph in try Published.graphs() {
      let names = Set(graph.parameters.flatMap { [$0.name] + $0.aliases })
      #expect(names.count == graph.parameters.reduce(0) { $0 + 1 + $1.aliases.count })
      #expect(Set(graph.parameters.map(\.singleFileName)).count == graph.parameters.count)
      for parameter in graph.parameters {
        #expect(
          parameter.shape.reduce(1, *) == parameter.singleFileShape.reduce(1, *))
      }
    }
  }

  @Test(arguments: [
    ("conv_in.weight", "model.diffusion_model.input_blocks.0.0.weight"),
    (
      "down_blocks.1.downsamplers.0.conv.bias", "model.diffusion_model.input_blocks.6.0.op.bias"
    ),
    (
      "down_blocks.2.attentions.1.transformer_blocks.0.attn2.to_out.0.weight",
      "model.diffusion_model.input_blocks.8.1.transformer_blocks.0.attn2.to_out.0.weight"
    ),
    (
      "mid_block.resnets.1.time_emb_proj.bias",
      "model.diffusion_model.middle_block.2.emb_layers.1.bias"
    ),
    ("up_blocks.0.upsamplers.0.conv.weight", "model.diffusion_model.output_blocks.2.1.conv.weight"),
    ("up_blocks.1.upsamplers.0.conv.weight", "model.diffusion_model.output_blocks.5.2.conv.weight"),
    (
      "up_blocks.3.resnets.2.conv_shortcut.weight",
      "model.diffusion_model.output_blocks.11.0.skip_connection.weight"
    ),
    ("time_embedding.linear_2.weight", "model.diffusion_model.time_embed.2.weight"),
    ("conv_norm_out.weight", "model.diffusion_model.out.0.weight"),
    (
      "text_model.encoder.layers.3.mlp.fc1.bias",
      "cond_stage_model.transformer.text_model.encoder.layers.3.mlp.fc1.bias"
    ),
    (
      "decoder.up_blocks.0.resnets.2.conv1.weight",
      "first_stage_model.decoder.up.3.block.2.conv1.weight"
    ),
    (
      "decoder.up_blocks.2.upsamplers.0.conv.bias",
      "first_stage_model.decoder.up.1.upsample.conv.bias"
    ),
    (
      "encoder.mid_block.attentions.0.to_out.0.weight",
      "first_stage_model.encoder.mid.attn_1.proj_out.weight"
    ),
    (
      "encoder.down_blocks.1.resnets.0.conv_shortcut.bias",
      "first_stage_model.encoder.down.1.block.0.nin_shortcut.bias"
    ),
    ("quant_conv.weight", "first_stage_model.quant_conv.weight"),
  ])
  func singleFileNames(name: String, expected: String) throws {
    let parameters = try Published.graphs().flatMap(\.parameters)
    #expect(parameters.first { $0.name == name }?.singleFileName == expected)
  }

  @Test func attentionOfTheVAEHasTheNamesOf2022() throws {
    let decoder = try Published.graphs()[2]
    let output = try #require(
      decoder.parameters.first { $0.name == "decoder.mid_block.attentions.0.to_out.0.weight" })
    let root = "decoder.mid_block.attentions.0"
    #expect(output.aliases == ["\(root).proj_attn.weight", "\(root).to_to_out.0.weight"])
    #expect(output.shape == [512, 512])
    #expect(output.singleFileShape == [512, 512, 1, 1])
  }

  /// Odd latents: each level is half of the one above, rounded up, and the upward path restores the
  /// size.
  @Test(arguments: [(65, 67), (16, 24), (9, 8), (1, 1)])
  func oddLatentsKeepTheirSize(height: Int, width: Int) throws {
    let unet = try Published.graphs()[1]
    let sizes = Sizes(batch: 2, height: height, width: width)
    #expect(unet.shape(unet.outputs[0], sizes) == [2, 4, height, width])
    let low = try #require(unet.nodes.first { $0.name == "mid_block.resnets.0.conv1" })
    #expect(unet.shape(low.output, sizes) == [2, 1280, (height + 7) / 8, (width + 7) / 8])
  }

  @Test func fixtureConfigurationsAreRead() throws {
    let unet = try UNetConfiguration(#require(configuration("unet").object))
    #expect(unet.heads == [2, 2, 2, 2])
    #expect(unet.groups == 8)
    #expect(unet.layersPerBlock == [1, 1, 1, 1])
    let vae = try VAEConfiguration(#require(configuration("vae").object))
    #expect(vae.scalingFactor == 1.03797)
    let text = try CLIPTextConfiguration(#require(configuration("text_encoder").object))
    #expect(text.layers == 4)
  }

  private func configuration(_ component: String) throws -> JSON {
    try JSON(parsing: Fixtures.text("shapes-v2/\(component)/config.json"))
  }
}

@Suite struct ConfigurationRefusalTests {
  struct Case: Sendable {
    let field: String
    let value: JSON
    let says: String
  }

  /// A field that changes the network is rejected by its name, never ignored.
  @Test(arguments: [
    Case(field: "class_embed_type", value: "timestep", says: "class_embed_type"),
    Case(field: "center_input_sample", value: true, says: "center_input_sample"),
    Case(field: "mid_block_type", value: "UNetMidBlock2D", says: "mid_block_type"),
    Case(field: "resnet_time_scale_shift", value: "scale_shift", says: "resnet_time_scale_shift"),
    Case(field: "block_out_channels", value: [], says: "block_out_channels"),
    Case(field: "block_out_channels", value: [320, -1], says: "-1"),
    Case(field: "block_out_channels", value: [99_999_999, 1, 1, 1], says: "99999999"),
    Case(field: "norm_num_groups", value: 33, says: "33 groups"),
    Case(field: "attention_head_dim", value: 7, says: "7 heads"),
    Case(field: "attention_head_dim", value: [8, 8], says: "4 levels"),
    Case(field: "down_block_types", value: ["AttnDownBlock2D"], says: "AttnDownBlock2D"),
    Case(field: "some_field_of_tomorrow", value: 3, says: "some_field_of_tomorrow"),
  ])
  func unet(_ refused: Case) throws {
    var object = try #require(Published.unet.object)
    object[refused.field] = refused.value
    let error = #expect(throws: GraphError.self) {
      try UNet.graph(UNetConfiguration(object))
    }
    #expect(error?.description.contains(refused.says) == true, "\(String(describing: error))")
    #expect(error?.description.hasPrefix("unet/config.json: ") == true)
  }

  @Test(arguments: [
    Case(field: "latents_mean", value: [0, 0, 0, 0], says: "latents_mean"),
    Case(field: "scaling_factor", value: 0, says: "scaling_factor"),
    Case(field: "block_out_channels", value: [128, 256], says: "block_out_channels"),
    Case(field: "up_block_types", value: ["AttnUpDecoderBlock2D"], says: "up_block_types"),
  ])
  func vae(_ refused: Case) throws {
    var object = try #require(Published.vae.object)
    object[refused.field] = refused.value
    let error = #expect(throws: GraphError.self) { try VAEConfiguration(object) }
    #expect(error?.description.contains(refused.says) == true, "\(String(describing: error))")
  }

  @Test(arguments: [
    Case(field: "hidden_act", value: "relu", says: "hidden_act"),
    Case(field: "num_attention_heads", value: 5, says: "num_attention_heads"),
    Case(field: "num_hidden_layers", value: 1_000_000_000, says: "num_hidden_layers"),
  ])
  func text(_ refused: Case) throws {
    var object = try #require(Published.text.object)
    object[refused.field] = refused.value
    let error = #expect(throws: GraphError.self) { try CLIPTextConfiguration(object) }
    #expect(error?.description.contains(refused.says) == true, "\(String(describing: error))")
  }
}

@Suite struct DimensionTests {
  @Test func halvingAndDoubling() {
    let height = Dimension.symbol(.height)
    #expect(height.halved?.halved?.description == "ceil(height/4)")
    #expect((8 * height).halved == 4 * height)
    #expect((3 * height).halved == nil)
    #expect(Dimension(7).halved == 4)
    #expect((height * .symbol(.width)).value(Sizes(height: 3, width: 5)) == 15)
  }
}
