import OrderedJSON

/// The shape of a ControlNet, from diffusers' `config.json`: that of the copied UNet, and of the
/// small network for the control image.
public struct ControlNetConfiguration: Sendable, Hashable {
  /// The UNet whose down blocks and middle are copied.
  public let unet: UNetConfiguration
  /// Channels of the image: 3.
  public let pictureChannels: Int
  /// Channels of the convolutions that read the image; all but the first halve it.
  public let pictureBlockChannels: [Int]

  /// - Throws: ``GraphError`` naming a field that is missing, out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    var own = ConfigurationReader(component: GraphName.controlNet.rawValue, object)
    pictureChannels = try own.integer("conditioning_channels", in: 1...64, default: 3)
    pictureBlockChannels =
      try own.list("conditioning_embedding_out_channels", default: [16, 32, 96, 256])
    try own.require("controlnet_conditioning_channel_order", "rgb")
    try own.require("global_pool_conditions", false)
    // The rest is a UNet configuration without up blocks.
    var rest = object
    for field in [
      "conditioning_channels", "conditioning_embedding_out_channels",
      "controlnet_conditioning_channel_order", "global_pool_conditions",
    ] {
      rest[field] = nil
    }
    if let down = object["down_block_types"]?.array {
      rest["up_block_types"] = .array(
        down.reversed().map { $0 == "CrossAttnDownBlock2D" ? "CrossAttnUpBlock2D" : "UpBlock2D" })
    }
    unet = try UNetConfiguration(rest, of: .controlNet)
    guard pictureBlockChannels.count == 4 else {
      throw own.failure(
        "conditioning_embedding_out_channels",
        "has \(pictureBlockChannels.count.of("entry", "entries")); 4 make an eighth of the picture's size"
      )
    }
  }
}
