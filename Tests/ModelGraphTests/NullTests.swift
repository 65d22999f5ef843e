import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Null is a field's absence only where the default of diffusers' or transformers' class is None.
///
/// `Fixtures/networks/make.py` writes `signatures.json`: the classes' own defaults.
@Suite struct NullTests {
  /// A field of a class, and its default.
  struct Field: Sendable, CustomTestStringConvertible {
    let network: String
    let name: String
    let standard: JSON
    var testDescription: String { "\(network) \(name)" }
  }

  static let fields: [Field] = {
    let text = try? Fixtures.text("networks/signatures.json")
    let classes = text.flatMap { try? JSON(parsing: $0) }?.object?.members ?? []
    return classes.flatMap { network in
      (network.value.object?.members ?? []).map {
        Field(network: network.key, name: $0.key, standard: $0.value)
      }
    }
  }()

  /// Fields whose value never changes the network's result, and two whose null means their absence:
  /// no gated attention, no range of stored latents.
  static let withoutEffect: [String: Set<String>] = [
    "UNet2DConditionModel": ["dropout", "addition_embed_type_num_heads", "attention_type"],
    "ControlNetModel": ["addition_embed_type_num_heads"],
    "AutoencoderKL": ["sample_size", "force_upcast"],
    "AutoencoderTiny": ["latent_magnitude", "latent_shift", "force_upcast"],
    "CLIPTextModel": [
      "projection_dim", "attention_dropout", "initializer_range", "initializer_factor",
      "pad_token_id", "bos_token_id",
    ],
  ]

  static func read(_ network: String, _ object: JSONObject) throws(GraphError) -> AnyHashable {
    switch network {
    case "UNet2DConditionModel": AnyHashable(try UNetConfiguration(object))
    case "ControlNetModel": AnyHashable(try ControlNetConfiguration(object))
    case "AutoencoderKL": AnyHashable(try VAEConfiguration(object))
    case "AutoencoderTiny": AnyHashable(try TinyAutoencoderConfiguration(object))
    default: AnyHashable(try CLIPTextConfiguration(object))
    }
  }

  /// A class's defaults; for the VAE, whose default size differs, Stable Diffusion's levels.
  static func base(_ network: String) -> JSONObject {
    guard network == "AutoencoderKL" else { return [:] }
    return [
      "block_out_channels": [64, 64, 64, 64],
      "down_block_types": .array(.init(repeating: "DownEncoderBlock2D", count: 4)),
      "up_block_types": .array(.init(repeating: "UpDecoderBlock2D", count: 4)),
    ]
  }

  @Test func allClassesAreThere() {
    #expect(Self.fields.count > 120)
    #expect(Set(Self.fields.map(\.network)).count == 5)
  }

  /// A field at its default has no effect, so that all fields of the class are known.
  @Test(arguments: fields)
  func defaultsAreTheReferences(_ field: Field) throws {
    var object = Self.base(field.network)
    let base = try Self.read(field.network, object)
    guard object[field.name] == nil else { return }
    object[field.name] = field.standard
    #expect(try Self.read(field.network, object) == base)
  }

  @Test(arguments: fields)
  func nullIsNoAbsence(_ field: Field) throws {
    var object = Self.base(field.network)
    let base = try Self.read(field.network, object)
    object[field.name] = .null
    do {
      let read = try Self.read(field.network, object)
      let isAbsence =
        field.standard.isNull || field.standard == false
        || Self.withoutEffect[field.network]?.contains(field.name) == true
      #expect((read == base) == isAbsence)
    } catch {
      #expect(!field.standard.isNull)
      #expect(error.field == field.name, "\(error)")
    }
  }

  /// A meaningful null is honored.
  @Test func nullsAreHonoured() throws {
    #expect(try UNetConfiguration(["mid_block_type": .null]).hasMiddle == false)
    #expect(try UNetConfiguration([:]).hasMiddle)
    #expect(try UNetConfiguration(["flip_sin_to_cos": .null]).flipSinToCos == false)
    var vae = Self.base("AutoencoderKL")
    vae["use_quant_conv"] = .null
    #expect(try VAEConfiguration(vae).quantConvolution == false)
    // A ControlNet is the middle block and what precedes it.
    let error = #expect(throws: GraphError.self) {
      try ControlNetConfiguration(["mid_block_type": .null])
    }
    #expect(error?.field == "mid_block_type")
  }
}

/// Small UNets, and those with an embedding of the guidance scale.
@Suite struct SmallNetworkTests {
  /// segmind/tiny-sd and BK-SDM-Tiny, with the fields that shape them.
  static let tiny: JSONObject = [
    "block_out_channels": [320, 640, 1280], "layers_per_block": 1, "mid_block_type": .null,
    "cross_attention_dim": 768,
    "down_block_types": .array(.init(repeating: "CrossAttnDownBlock2D", count: 3)),
    "up_block_types": .array(.init(repeating: "CrossAttnUpBlock2D", count: 3)),
  ]
  /// BK-SDM-Small.
  static let small: JSONObject = [
    "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 1, "mid_block_type": .null,
    "cross_attention_dim": 768,
  ]

  /// BK-SDM-Base, which has a middle block.
  static let base: JSONObject = ["layers_per_block": 1, "cross_attention_dim": 768]

  /// As diffusers counts them: 0.32, 0.48 and 0.58 billion, as published.
  @Test(arguments: [
    (tiny, 358, 323_384_964), (small, 396, 482_346_884), (base, 442, 579_384_964),
  ])
  func countsAreThePublishedOnes(object: JSONObject, tensors: Int, elements: Int) throws {
    let graph = try UNet.graph(UNetConfiguration(object))
    #expect(graph.parameters.count == tensors)
    #expect(graph.parameters.reduce(0) { $0 + $1.elementCount } == elements)
  }

  /// Names as diffusers' script writes them: three blocks for each level.
  @Test(arguments: [
    ("down_blocks.0.downsamplers.0.conv.weight", "input_blocks.3.0.op.weight"),
    ("down_blocks.1.resnets.0.conv1.weight", "input_blocks.4.0.in_layers.2.weight"),
    ("down_blocks.2.attentions.0.proj_in.bias", "input_blocks.7.1.proj_in.bias"),
    ("up_blocks.0.resnets.1.norm2.bias", "output_blocks.1.0.out_layers.0.bias"),
    ("up_blocks.0.upsamplers.0.conv.bias", "output_blocks.2.1.conv.bias"),
    ("up_blocks.1.attentions.0.norm.weight", "output_blocks.3.1.norm.weight"),
    ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
    ("up_blocks.2.resnets.1.conv2.weight", "output_blocks.7.0.out_layers.3.weight"),
  ])
  func singleFileNames(name: String, tail: String) throws {
    let graph = try UNet.graph(UNetConfiguration(Self.tiny))
    let parameter = try #require(graph.parameters.first { $0.name == name })
    #expect(parameter.singleFileName == "model.diffusion_model." + tail)
  }

  /// The script leaves the names of the first level's attention on the upward path.
  @Test func leftNamesAreKnown() throws {
    let graph = try UNet.graph(UNetConfiguration(Self.tiny))
    let name = "up_blocks.0.attentions.1.norm.weight"
    let parameter = try #require(graph.parameters.first { $0.name == name })
    #expect(parameter.singleFileTail == "output_blocks.1.1.norm.weight")
    #expect(parameter.singleFileTailAliases == [name])
  }

  /// The original code numbers blocks consecutively, also in networks with a middle block.
  @Test func consecutiveNumbers() throws {
    var object = Self.tiny
    object[BlockNumbering.field] = "consecutive"
    let names = Set(try UNet.graph(UNetConfiguration(object)).parameters.map(\.singleFileTail))
    #expect(names.contains("input_blocks.2.0.op.weight"))
    #expect(names.contains("output_blocks.1.2.conv.weight"))
    #expect(names.contains("output_blocks.5.0.in_layers.2.weight"))
    object = Self.tiny
    object["mid_block_type"] = nil
    #expect(try UNetConfiguration(object).numbering == .consecutive)
    object = Self.tiny
    object["layers_per_block"] = 2
    #expect(try UNetConfiguration(object).numbering == .consecutive)
  }

  @Test func guidanceIsAnInput() throws {
    let graph = try UNet.graph(
      UNetConfiguration(["time_cond_proj_dim": 256, "cross_attention_dim": 768]))
    let input = try #require(graph.inputs.first { graph[$0].name == "timestep_cond" })
    #expect(graph[input].shape == [1, 256])
    let parameter = try #require(
      graph.parameters.first { $0.name == "time_embedding.cond_proj.weight" })
    #expect(parameter.shape == [320, 256])
    #expect(parameter.singleFileTail == "time_embed.cond_proj.weight")
    #expect(!graph.parameters.contains { $0.name == "time_embedding.cond_proj.bias" })
    // LCM_Dreamshaper_v7's count: Stable Diffusion v1.5's and the projection.
    #expect(graph.parameters.reduce(0) { $0 + $1.elementCount } == 859_520_964 + 320 * 256)
    for width in [255, 3, 0] {
      let error = #expect(throws: GraphError.self) {
        try UNetConfiguration(["time_cond_proj_dim": .integer(width)])
      }
      #expect(error?.field == "time_cond_proj_dim")
    }
  }

  @Test func promptOnlyLevels() throws {
    var object = Self.tiny
    object["only_cross_attention"] = [true, false, false]
    let graph = try UNet.graph(UNetConfiguration(object))
    func keys(_ path: String) -> [Int]? {
      graph.parameters.first { $0.name == "\(path).transformer_blocks.0.attn1.to_k.weight" }?.shape
    }
    #expect(keys("down_blocks.0.attentions.0") == [320, 768])
    #expect(keys("down_blocks.1.attentions.0") == [640, 640])
    #expect(keys("up_blocks.2.attentions.1") == [320, 768])
    for value: JSON in [[true, false], ["yes", false, false], 1] {
      object["only_cross_attention"] = value
      let error = #expect(throws: GraphError.self) { try UNetConfiguration(object) }
      #expect(error?.field == "only_cross_attention")
    }
  }
}
