extension GraphName {
  /// A ControlNet.
  public static let controlNet = GraphName(rawValue: "controlnet")
}

/// A ControlNet: the way down and the middle of a UNet once more, which read a picture beside the
/// latents and give what is added to the UNet's skip connections and middle.
///
/// Source: Zhang et al. 2023 as in diffusers' `ControlNetModel`; single-file names are those of the
/// original code (`control_model.input_hint_block`, `zero_convs`, `middle_block_out`).
public enum ControlNet {
  /// The UNet's inputs, and `controlnet_cond [batch, 3, 8 * height, 8 * width]` in 0...1. Outputs
  /// are `down_block_res_samples_0` and so on, with the shapes of the UNet's skip connections in
  /// order, and `mid_block_res_sample`, all unscaled.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func graph(_ configuration: ControlNetConfiguration) throws(GraphError) -> Graph {
    var network = UNetBuilder(
      configuration.unet, name: .controlNet, root: Path(prefix: "control_model."))
    try network.controlNet(configuration)
    return network.graph
  }

  /// The UNet's input for the output with this name.
  public static func residualInput(of output: String) -> String {
    output == "mid_block_res_sample"
      ? "mid_block_additional_residual"
      : output.replacing("down_block_res_samples_", with: "down_block_additional_residuals_")
  }
}

extension UNetBuilder {
  fileprivate mutating func controlNet(
    _ configuration: ControlNetConfiguration
  ) throws(GraphError) {
    let sample = try start()
    let picture = try embedding(configuration)
    var hidden = try build.add("controlnet_cond_embedding.add", sample, picture)
    hidden = try down(hidden)
    hidden = try middle(hidden)
    for (index, skip) in skips.enumerated() {
      let path = root.child("controlnet_down_blocks.\(index)", singleFile: "zero_convs.\(index).0")
      build.output("down_block_res_samples_\(index)", try pointwise(skip, path))
    }
    let path = root.child("controlnet_mid_block", singleFile: "middle_block_out.0")
    build.output("mid_block_res_sample", try pointwise(hidden, path))
  }

  private mutating func pointwise(_ input: Value, _ path: Path) throws(GraphError) -> Value {
    try build.convolution(
      input, path, to: build.channels(input), kernel: 1, padding: .all(0))
  }

  /// The control image at the size of the latents, with the width of the UNet's first convolution.
  private mutating func embedding(
    _ configuration: ControlNetConfiguration
  ) throws(GraphError) -> Value {
    let picture = build.input(
      "controlnet_cond",
      [
        .symbol(.batch), Dimension(configuration.pictureChannels), 8 * .symbol(.height),
        8 * .symbol(.width),
      ])
    let channels = configuration.pictureBlockChannels
    // In single files, a SiLU is between any two layers.
    var place = 0
    func path(_ name: String) -> Path {
      defer { place += 2 }
      return root.child(
        "controlnet_cond_embedding.\(name)", singleFile: "input_hint_block.\(place)")
    }
    func silu(_ value: Value) -> Value {
      build.activation("controlnet_cond_embedding.act_\(place / 2)", .silu, value)
    }
    var hidden = silu(
      try build.convolution(
        picture, path("conv_in"), to: channels[0], kernel: 3, padding: .all(1)))
    for index in 1..<channels.count {
      hidden = silu(
        try build.convolution(
          hidden, path("blocks.\(2 * index - 2)"), to: channels[index - 1], kernel: 3,
          padding: .all(1)))
      hidden = silu(
        try build.convolution(
          hidden, path("blocks.\(2 * index - 1)"), to: channels[index], kernel: 3, stride: 2,
          padding: .all(1)))
    }
    return try build.convolution(
      hidden, path("conv_out"), to: configuration.unet.blockChannels[0], kernel: 3,
      padding: .all(1))
  }
}
