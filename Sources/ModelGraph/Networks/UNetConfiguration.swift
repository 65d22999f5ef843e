import OrderedJSON

/// The shape of a denoising UNet, from diffusers' `unet/config.json`.
public struct UNetConfiguration: Sendable, Hashable {
  /// Channels of the input: 4, or 9 for inpainting.
  public let inputChannels: Int
  /// Channels of the output.
  public let outputChannels: Int
  /// Channels of each level, from the full resolution down.
  public let blockChannels: [Int]
  /// Residual blocks of each down level; up levels have one more.
  public let layersPerBlock: [Int]
  /// Whether each down level has attention.
  public let downAttention: [Bool]
  /// Whether each up level has attention, from the lowest resolution.
  public let upAttention: [Bool]
  /// Whether there is a middle block; distilled UNets of Stable Diffusion 1.x have none.
  public let hasMiddle: Bool
  /// Transformer layers of each attention block, by level.
  public let transformerLayers: [Int]
  /// Whether a level's transformers, down and up, attend only to the prompt.
  public let onlyCrossAttention: [Bool]
  /// Attention heads of each level.
  public let heads: [Int]
  /// The width of the text encoder's hidden states.
  public let crossAttentionWidth: Int
  /// Groups of each group normalization.
  public let groups: Int
  /// Added to variances in group normalizations.
  public let normEpsilon: Double
  /// Whether transformers have linear projections (SD 2) instead of 1x1 convolutions.
  public let linearProjection: Bool
  /// Whether attention's products and softmax must stay in F32 (SD 2.1).
  public let upcastAttention: Bool
  /// Rows and columns of the first convolution's kernel.
  public let inputKernel: Int
  /// Rows and columns of the last convolution's kernel.
  public let outputKernel: Int
  /// Channels of the timestep's embedding.
  public let timeEmbeddingWidth: Int
  /// The width of the guidance scale embedding, 256 in latent consistency models; nil if guidance
  /// uses a negative prompt.
  public let guidanceWidth: Int?
  /// Whether cosines come before sines in the timestep's embedding.
  public let flipSinToCos: Bool
  /// diffusers' `freq_shift`.
  public let frequencyShift: Double
  /// The training resolution in latents: 64.
  public let sampleSize: Int
  /// The block numbering in single files.
  public let numbering: BlockNumbering

  /// Fields that are None by default in diffusers' `UNet2DConditionModel`.
  private static let nullable: Set<String> = [
    "sample_size", "reverse_transformer_layers_per_block", "encoder_hid_dim",
    "encoder_hid_dim_type", "num_attention_heads", "class_embed_type", "addition_embed_type",
    "addition_time_embed_dim", "num_class_embeds", "time_embedding_dim", "time_embedding_act_fn",
    "timestep_post_act", "time_cond_proj_dim", "projection_class_embeddings_input_dim",
    "mid_block_only_cross_attention", "cross_attention_norm",
  ]

  /// - Throws: ``GraphError`` naming a field that is missing, out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    try self.init(object, of: .unet)
  }

  /// - Parameter graph: whose configuration it is.
  init(_ object: JSONObject, of graph: GraphName) throws(GraphError) {
    var reader = ConfigurationReader(
      component: graph.rawValue, object, nullable: UNetConfiguration.nullable)
    inputChannels = try reader.integer("in_channels", default: 4)
    outputChannels = try reader.integer("out_channels", default: 4)
    blockChannels = try reader.list("block_out_channels", default: [320, 640, 1280, 1280])
    let levels = blockChannels.count
    layersPerBlock = try reader.integers("layers_per_block", count: levels, in: 1...16, default: 2)
    transformerLayers = try reader.integers(
      "transformer_layers_per_block", count: levels, in: 1...16, default: 1)
    let (downBlock, upBlock) = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
    let down = try reader.names(
      "down_block_types", of: [downBlock, "DownBlock2D"],
      default: [downBlock, downBlock, downBlock, "DownBlock2D"])
    let up = try reader.names(
      "up_block_types", of: [upBlock, "UpBlock2D"],
      default: ["UpBlock2D", upBlock, upBlock, upBlock])
    downAttention = down.map { $0 == downBlock }
    upAttention = up.map { $0 == upBlock }
    // A ControlNet is a UNet's down blocks and middle, so it must have a middle.
    let middle = "UNetMidBlock2DCrossAttn"
    hasMiddle = graph != .unet || object["mid_block_type"]?.isNull != true
    if hasMiddle { try reader.require("mid_block_type", .string(middle)) }
    reader.ignore("mid_block_type")
    onlyCrossAttention = try reader.booleans(
      "only_cross_attention", count: levels, default: false)
    // The published field `attention_head_dim` contains the number of heads; diffusers kept the
    // name.
    let headDimension = try reader.integers(
      "attention_head_dim", count: levels, in: 1...1_024, default: 8)
    heads = try reader.integers(
      "num_attention_heads", count: levels, in: 0...1_024, default: 0
    )
    .enumerated().map { $1 == 0 ? headDimension[$0] : $1 }
    let contexts = try reader.integers("cross_attention_dim", count: levels, default: 1_280)
    crossAttentionWidth = contexts[0]
    groups = try reader.integer("norm_num_groups", in: 1...1_024, default: 32)
    normEpsilon = try reader.number("norm_eps", default: 1e-5)
    linearProjection = try reader.boolean("use_linear_projection", default: false)
    upcastAttention = try reader.boolean("upcast_attention", default: false)
    inputKernel = try reader.integer("conv_in_kernel", in: 1...7, default: 3)
    outputKernel = try reader.integer("conv_out_kernel", in: 1...7, default: 3)
    timeEmbeddingWidth = try reader.integer("time_embedding_dim", default: 4 * blockChannels[0])
    guidanceWidth =
      graph == .unet ? try reader.optionalInteger("time_cond_proj_dim", in: 4...65_536) : nil
    if graph != .unet { try reader.require("time_cond_proj_dim", .null) }
    flipSinToCos = try reader.boolean("flip_sin_to_cos", default: true)
    frequencyShift = try reader.number("freq_shift", default: 0)
    sampleSize = try reader.integer("sample_size", in: 1...1_024, default: 64)
    numbering =
      object[BlockNumbering.field]?.string.flatMap(BlockNumbering.init(rawValue:))
      ?? .usual(layersPerBlock, hasMiddle: hasMiddle)
    try UNetConfiguration.refuseVariants(&reader)
    try reader.finish()

    for (field, count) in [("down_block_types", down.count), ("up_block_types", up.count)]
    where count != levels {
      throw reader.failure(
        field, "has \(count.of("entry", "entries")), block_out_channels has \(levels)")
    }
    for (field, kernel) in [("conv_in_kernel", inputKernel), ("conv_out_kernel", outputKernel)]
    where kernel % 2 == 0 {
      throw reader.failure(
        field, "is \(kernel); an odd number is needed to keep the picture's size")
    }
    guard blockChannels[0] % 2 == 0 else {
      throw reader.failure("block_out_channels", "starts with an odd number of channels")
    }
    guard contexts.allSatisfy({ $0 == contexts[0] }) else {
      throw reader.failure(
        "cross_attention_dim",
        "is \(contexts); levels that attend to states of one width are supported")
    }
    if let guidanceWidth, guidanceWidth % 2 != 0 {
      throw reader.failure("time_cond_proj_dim", "is \(guidanceWidth), which is odd")
    }
  }

  /// Fields of other UNets: each must have the value that does not change this network.
  private static func refuseVariants(_ reader: inout ConfigurationReader) throws(GraphError) {
    _ = try reader.choice("act_fn", of: ["silu", "swish"], default: "silu")
    try reader.require("time_embedding_type", "positional")
    try reader.require("resnet_time_scale_shift", "default")
    // Only two other values enable gated attention.
    if reader.object["attention_type"]?.isNull != true {
      try reader.require("attention_type", "default")
    }
    try reader.require("downsample_padding", 1)
    try reader.require("mid_block_scale_factor", 1)
    try reader.require("resnet_out_scale_factor", 1)
    for field in [
      "center_input_sample", "dual_cross_attention", "class_embeddings_concat",
      "resnet_skip_time_act",
    ] {
      try reader.require(field, false)
    }
    for field in [
      "addition_embed_type", "addition_time_embed_dim", "class_embed_type", "num_class_embeds",
      "projection_class_embeddings_input_dim", "encoder_hid_dim", "encoder_hid_dim_type",
      "time_embedding_act_fn", "timestep_post_act", "cross_attention_norm",
      "reverse_transformer_layers_per_block",
    ] {
      try reader.require(field, .null)
    }
    // Training only, or unused by supported blocks.
    reader.ignore(
      "dropout", "addition_embed_type_num_heads", "mid_block_only_cross_attention",
      "attention_type")
    // EMA parameters, which diffusers' EMAModel saves with the weights.
    reader.ignore(
      "decay", "inv_gamma", "min_decay", "optimization_step", "power", "update_after_step",
      "use_ema_warmup")
  }
}
