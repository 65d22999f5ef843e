import OrderedJSON

/// The shape of a tiny autoencoder, from diffusers' `AutoencoderTiny` configuration.
public struct TinyAutoencoderConfiguration: Sendable, Hashable {
  /// Channels of latents.
  public let latentChannels: Int
  /// Channels of all convolutions inside: 64.
  public let channels: Int
  /// Blocks of each level of the encoder, from the image down: 1, 3, 3, 3.
  public let encoderBlocks: [Int]
  /// Blocks of each level of the decoder, from the latents up: 3, 3, 3, 1.
  public let decoderBlocks: [Int]
  /// The divisor of latents before decoding: 1, since its latents are those of the UNet.
  public let scalingFactor: Double
  /// diffusers' `shift_factor`.
  public let shiftFactor: Double

  /// - Throws: ``GraphError`` naming a field that is missing, out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    var reader = ConfigurationReader(component: VAEConfiguration.component, object)
    latentChannels = try reader.integer("latent_channels", in: 1...64, default: 4)
    let widths =
      try reader.list("encoder_block_out_channels", default: [64, 64, 64, 64])
      + reader.list("decoder_block_out_channels", default: [64, 64, 64, 64])
    encoderBlocks = try reader.list("num_encoder_blocks", default: [1, 3, 3, 3])
    decoderBlocks = try reader.list("num_decoder_blocks", default: [3, 3, 3, 1])
    scalingFactor = try reader.number("scaling_factor", default: 1)
    shiftFactor = try reader.number("shift_factor", default: 0)
    try reader.require("in_channels", 3)
    try reader.require("out_channels", 3)
    try reader.require("act_fn", "relu")
    try reader.require("upsample_fn", "nearest")
    try reader.require("upsampling_scaling_factor", 2)
    // A range for storing latents as bytes, and values that follow from the fields above.
    reader.ignore("latent_magnitude", "latent_shift", "force_upcast", "block_out_channels")
    try reader.finish()
    channels = widths[0]
    guard widths.count == 8, widths.allSatisfy({ $0 == widths[0] }) else {
      throw reader.failure(
        "encoder_block_out_channels", "levels differ in width or are not 4; supported: 4 alike")
    }
    for (field, blocks) in [
      ("num_encoder_blocks", encoderBlocks), ("num_decoder_blocks", decoderBlocks),
    ] where blocks.count != 4 || blocks.contains(where: { $0 > 64 }) {
      throw reader.failure(field, "is \(blocks); four numbers up to 64 are supported")
    }
    guard scalingFactor != 0, scalingFactor.isFinite, shiftFactor.isFinite else {
      throw reader.failure("scaling_factor", "is not a finite number other than zero")
    }
  }
}
