import OrderedJSON

/// The shape of a variational autoencoder, from diffusers' `vae/config.json`.
public struct VAEConfiguration: Sendable, Hashable {
  /// The component whose configuration it is, for errors.
  static let component = "vae"

  /// Channels of the picture that is encoded.
  public let pictureChannels: Int
  /// Channels of the decoded image.
  public let outputChannels: Int
  /// Channels of latents.
  public let latentChannels: Int
  /// Channels of each level, from the image down.
  public let blockChannels: [Int]
  /// Residual blocks of each level.
  public let layersPerBlock: Int
  /// Groups of each group normalization.
  public let groups: Int
  /// Whether the middle block has attention.
  public let midAttention: Bool
  /// Whether a 1x1 convolution follows the encoder.
  public let quantConvolution: Bool
  /// Whether a 1x1 convolution precedes the decoder.
  public let postQuantConvolution: Bool
  /// The divisor of latents before decoding: 0.18215 in SD v1.5.
  public let scalingFactor: Double
  /// The offset added to latents after the division; 0 if the configuration has none.
  public let shiftFactor: Double

  /// The number of pixels per latent, in each direction.
  public var downsampling: Int { 1 << (blockChannels.count - 1) }

  /// - Throws: ``GraphError`` naming a field that is missing, out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    var reader = ConfigurationReader(
      component: VAEConfiguration.component, object,
      nullable: ["shift_factor", "latents_mean", "latents_std"])
    pictureChannels = try reader.integer("in_channels", default: 3)
    outputChannels = try reader.integer("out_channels", default: 3)
    latentChannels = try reader.integer("latent_channels", default: 4)
    blockChannels = try reader.list("block_out_channels")
    layersPerBlock = try reader.integer("layers_per_block", in: 1...16, default: 1)
    groups = try reader.integer("norm_num_groups", in: 1...1_024, default: 32)
    midAttention = try reader.boolean("mid_block_add_attention", default: true)
    quantConvolution = try reader.boolean("use_quant_conv", default: true)
    postQuantConvolution = try reader.boolean("use_post_quant_conv", default: true)
    scalingFactor = try reader.number("scaling_factor", default: 0.18215)
    shiftFactor = try reader.number("shift_factor", default: 0)
    _ = try reader.choice("act_fn", of: ["silu", "swish"], default: "silu")
    let down = try reader.names("down_block_types", of: ["DownEncoderBlock2D"])
    let up = try reader.names("up_block_types", of: ["UpDecoderBlock2D"])
    try reader.require("latents_mean", .null)
    try reader.require("latents_std", .null)
    // The training size and a precision hint: neither changes the network.
    reader.ignore("sample_size", "force_upcast")
    try reader.finish()

    for (field, count) in [("down_block_types", down.count), ("up_block_types", up.count)]
    where count != blockChannels.count {
      throw reader.failure(
        field, "has \(count.of("entry", "entries")), block_out_channels has \(blockChannels.count)")
    }
    guard downsampling == 8 else {
      throw reader.failure(
        "block_out_channels",
        "has \(blockChannels.count.of("level")), which makes latents of 1/\(downsampling) of the"
          + " picture; supported: 4 levels, 1/8")
    }
    guard scalingFactor != 0, scalingFactor.isFinite else {
      throw reader.failure("scaling_factor", "is not a finite number other than zero")
    }
  }
}
