extension GraphName {
  /// The decoder of an AutoencoderKL.
  public static let vaeDecoder = GraphName(rawValue: "vae_decoder")
  /// The encoder of an AutoencoderKL.
  public static let vaeEncoder = GraphName(rawValue: "vae_encoder")
}

/// The variational autoencoder: pictures to latents (moments) and latents to pictures.
///
/// Source: Rombach et al. 2022 as in diffusers' `AutoencoderKL`. The caller scales latents by
/// `scaling_factor`: the graphs use the values that the convolutions see.
public enum VAE {
  /// Input `latent_sample [batch, latent, height, width]`;
  /// output `sample [batch, 3, 8 * height, 8 * width]` in about -1...1.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func decoder(_ configuration: VAEConfiguration) throws(GraphError) -> Graph {
    var network = VAEBuilder(name: .vaeDecoder, configuration, [.magnifiesEarlyErrors])
    try network.decoder()
    return network.build.graph
  }

  /// Input `sample [batch, 3, 8 * height, 8 * width]` in -1...1; output
  /// `latent_parameters [batch, 2 * latent, height, width]`: means, then logarithms of variances.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func encoder(_ configuration: VAEConfiguration) throws(GraphError) -> Graph {
    var network = VAEBuilder(name: .vaeEncoder, configuration)
    try network.encoder()
    return network.build.graph
  }
}

private struct VAEBuilder {
  typealias Value = Graph.ValueID

  /// All norms in AutoencoderKL have this epsilon.
  private static let epsilon = 1e-6

  let configuration: VAEConfiguration
  var build: GraphBuilder
  private let root = Path(prefix: "first_stage_model.")

  init(name: GraphName, _ configuration: VAEConfiguration, _ traits: GraphTraits = []) {
    self.configuration = configuration
    build = GraphBuilder(
      name: name, component: VAEConfiguration.component,
      traits: traits.union([.runsOncePerImage, .needsWideRange, .isSizedInPixels]))
  }

  mutating func decoder() throws(GraphError) {
    let channels = configuration.blockChannels
    let latents = configuration.latentChannels
    var hidden = build.input(
      "latent_sample", [.symbol(.batch), Dimension(latents), .symbol(.height), .symbol(.width)])
    if configuration.postQuantConvolution {
      hidden = try build.convolution(
        hidden, root.child("post_quant_conv"), to: latents, kernel: 1, padding: .all(0))
    }
    let path = root.child("decoder")
    let widest = channels[channels.count - 1]
    hidden = try build.convolution(
      hidden, path.child("conv_in"), to: widest, kernel: 3, padding: .all(1))
    hidden = try middle(hidden, path, channels: widest)
    for index in channels.indices {
      let level = channels.count - 1 - index
      let block = path.child("up_blocks.\(index)", singleFile: "up.\(level)")
      for layer in 0...configuration.layersPerBlock {
        hidden = try resnet(
          hidden, block.child("resnets.\(layer)", singleFile: "block.\(layer)"),
          to: channels[level])
      }
      guard level > 0 else { break }
      let upsampler = block.child("upsamplers.0", singleFile: "upsample")
      let shape = build.shape(hidden)
      hidden = build.upsampleNearest(
        upsampler.name, hidden, height: 2 * shape[2], width: 2 * shape[3])
      hidden = try build.convolution(
        hidden, upsampler.child("conv"), to: channels[level], kernel: 3, padding: .all(1))
    }
    hidden = try output(hidden, path, to: configuration.outputChannels)
    build.output("sample", hidden)
  }

  mutating func encoder() throws(GraphError) {
    let channels = configuration.blockChannels
    let moments = 2 * configuration.latentChannels
    let side = configuration.downsampling
    let picture = build.input(
      "sample",
      [
        .symbol(.batch), Dimension(configuration.pictureChannels), side * .symbol(.height),
        side * .symbol(.width),
      ])
    let path = root.child("encoder")
    var hidden = try build.convolution(
      picture, path.child("conv_in"), to: channels[0], kernel: 3, padding: .all(1))
    for level in channels.indices {
      let block = path.child("down_blocks.\(level)", singleFile: "down.\(level)")
      for layer in 0..<configuration.layersPerBlock {
        hidden = try resnet(
          hidden, block.child("resnets.\(layer)", singleFile: "block.\(layer)"),
          to: channels[level])
      }
      guard level < channels.count - 1 else { break }
      hidden = try build.convolution(
        hidden, block.child("downsamplers.0.conv", singleFile: "downsample.conv"),
        to: channels[level], kernel: 3, stride: 2, padding: .bottomRight)
    }
    hidden = try middle(hidden, path, channels: channels[channels.count - 1])
    hidden = try output(hidden, path, to: moments)
    if configuration.quantConvolution {
      hidden = try build.convolution(
        hidden, root.child("quant_conv"), to: moments, kernel: 1, padding: .all(0))
    }
    build.output("latent_parameters", hidden)
  }

  private mutating func output(
    _ input: Value, _ path: Path, to channels: Int
  ) throws(GraphError) -> Value {
    let hidden = try build.groupNorm(
      input, path.child("conv_norm_out", singleFile: "norm_out"), groups: configuration.groups,
      epsilon: VAEBuilder.epsilon, silu: true)
    return try build.convolution(
      hidden, path.child("conv_out"), to: channels, kernel: 3, padding: .all(1))
  }

  private mutating func middle(
    _ input: Value, _ parent: Path, channels: Int
  ) throws(GraphError) -> Value {
    let path = parent.child("mid_block", singleFile: "mid")
    var hidden = try resnet(
      input, path.child("resnets.0", singleFile: "block_1"), to: channels)
    if configuration.midAttention {
      hidden = try attention(
        hidden, path.child("attentions.0", singleFile: "attn_1"), channels: channels)
    }
    return try resnet(hidden, path.child("resnets.1", singleFile: "block_2"), to: channels)
  }

  private mutating func resnet(
    _ input: Value, _ path: Path, to channels: Int
  ) throws(GraphError) -> Value {
    var hidden = input
    for index in 1...2 {
      hidden = try build.groupNorm(
        hidden, path.child("norm\(index)"), groups: configuration.groups,
        epsilon: VAEBuilder.epsilon, silu: true)
      hidden = try build.convolution(
        hidden, path.child("conv\(index)"), to: channels, kernel: 3, padding: .all(1))
    }
    var shortcut = input
    if try build.channels(input) != channels {
      shortcut = try build.convolution(
        input, path.child("conv_shortcut", singleFile: "nin_shortcut"), to: channels, kernel: 1,
        padding: .all(0))
    }
    return try build.add(path.name + ".residual", shortcut, hidden)
  }

  /// Attention over all positions with one head. Single files store its projections as 1x1
  /// convolutions; diffusers files of 2022 name them query, key, value and proj_attn.
  ///
  /// Converters of several diffusers releases left `to_q` in single files, and turned it into
  /// `to_to_q` when they ran twice, in either layout.
  private mutating func attention(
    _ input: Value, _ path: Path, channels: Int
  ) throws(GraphError) -> Value {
    var hidden = try build.groupNorm(
      input, path.child("group_norm", singleFile: "norm"), groups: configuration.groups,
      epsilon: VAEBuilder.epsilon, silu: false)
    hidden = build.imageToTokens(path.name + ".tokens", hidden)
    let query = try build.linear(
      hidden, projection(of: path, "to_q", "q", older: "query"), to: channels,
      asConvolution: true)
    let key = try build.linear(
      hidden, projection(of: path, "to_k", "k", older: "key"), to: channels,
      asConvolution: true)
    let value = try build.linear(
      hidden, projection(of: path, "to_v", "v", older: "value"), to: channels,
      asConvolution: true)
    hidden = try build.attention(path.name, query: query, key: key, value: value, heads: 1)
    hidden = try build.linear(
      hidden, projection(of: path, "to_out.0", "proj_out", older: "proj_attn"), to: channels,
      asConvolution: true)
    hidden = build.tokensToImage(path.name + ".image", hidden, like: input)
    return try build.add(path.name + ".residual", input, hidden)
  }

  private func projection(
    of path: Path, _ name: String, _ singleFile: String, older: String
  ) -> Path {
    path.child(
      name, singleFile: singleFile, aliases: [older, "to_\(name)"],
      singleFileAliases: [name, "to_\(name)", older])
  }
}
