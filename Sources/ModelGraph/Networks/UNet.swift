extension GraphName {
  /// The denoising UNet.
  public static let unet = GraphName(rawValue: "unet")
}

/// The denoising network: a noisy latent picture, a timestep and a prompt to the noise in it.
///
/// Source: Rombach et al. 2022 as in diffusers' `UNet2DConditionModel`.
public enum UNet {
  /// Inputs `sample [batch, in, height, width]`, `timestep [1]` and `encoder_hidden_states [batch,
  /// sequence, cross-attention width]`, and `timestep_cond [1, guidance
  /// width]` if the UNet has a guidance scale embedding; output `out_sample [batch, out, height,
  /// width]`.
  ///
  /// - Parameter residualInputs: whether to add inputs for ControlNet residuals:
  ///   `down_block_additional_residuals_0` and so on, with the shapes of the skip connections in
  ///   order, and `mid_block_additional_residual`. Source: Zhang et al. 2023; the names are
  ///   diffusers' argument names.
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func graph(
    _ configuration: UNetConfiguration, residualInputs: Bool = false
  ) throws(GraphError) -> Graph {
    var network = UNetBuilder(configuration, residualInputs: residualInputs)
    try network.network()
    return network.graph
  }
}

/// The state of building a UNet or ControlNet: inputs of every block, and the pending skip
/// connections.
struct UNetBuilder {
  typealias Value = Graph.ValueID

  let configuration: UNetConfiguration
  let residualInputs: Bool
  var build: GraphBuilder
  let root: Path
  /// The block numbers in single files.
  private let numbers: BlockNumbers
  /// SiLU of the time embedding `[1, width]`, which every residual block projects.
  private var time: Value?
  private var context: Value?
  private(set) var skips: [Value] = []

  var graph: Graph { build.graph }

  init(_ configuration: UNetConfiguration, residualInputs: Bool) {
    self.configuration = configuration
    self.residualInputs = residualInputs
    build = GraphBuilder(name: .unet)
    root = Path(prefix: "model.diffusion_model.")
    numbers = BlockNumbers(configuration.numbering, layers: configuration.layersPerBlock)
  }

  /// - Parameter name: of the graph and of the component whose configuration it is.
  init(_ configuration: UNetConfiguration, name: GraphName, root: Path) {
    self.configuration = configuration
    residualInputs = false
    build = GraphBuilder(name: name)
    self.root = root
    numbers = BlockNumbers(configuration.numbering, layers: configuration.layersPerBlock)
  }

  mutating func network() throws(GraphError) {
    var hidden = try start()
    hidden = try down(hidden)
    if residualInputs { try addResiduals() }
    if configuration.hasMiddle { hidden = try middle(hidden) }
    if residualInputs { hidden = try adding("mid_block_additional_residual", to: hidden) }
    hidden = try up(hidden)

    hidden = try build.groupNorm(
      hidden, root.child("conv_norm_out", singleFile: "out.0"), groups: configuration.groups,
      epsilon: configuration.normEpsilon, silu: true)
    hidden = try build.convolution(
      hidden, root.child("conv_out", singleFile: "out.2"), to: configuration.outputChannels,
      kernel: configuration.outputKernel, padding: .all(configuration.outputKernel / 2))
    build.output("out_sample", hidden)
  }

  /// The inputs, and the first convolution of the sample.
  mutating func start() throws(GraphError) -> Value {
    let sample = build.input(
      "sample",
      [
        .symbol(.batch), Dimension(configuration.inputChannels), .symbol(.height), .symbol(.width),
      ])
    let timestep = build.input("timestep", [1])
    context = build.input(
      "encoder_hidden_states",
      [.symbol(.batch), .symbol(.sequence), Dimension(configuration.crossAttentionWidth)])
    time = try timeEmbedding(timestep)
    return try build.convolution(
      sample, root.child("conv_in", singleFile: "input_blocks.0.0"),
      to: configuration.blockChannels[0], kernel: configuration.inputKernel,
      padding: .all(configuration.inputKernel / 2))
  }

  private mutating func timeEmbedding(_ timestep: Value) throws(GraphError) -> Value {
    let path = root.child("time_embedding", singleFile: "time_embed")
    let sinusoid = TimestepEmbedding(
      channels: configuration.blockChannels[0], flipSinToCos: configuration.flipSinToCos,
      frequencyShift: configuration.frequencyShift)
    var hidden = build.timestepEmbedding("time_proj", timestep, sinusoid)
    if let width = configuration.guidanceWidth {
      let guidance = build.input("timestep_cond", [1, Dimension(width)])
      let projected = try build.linear(
        guidance, path.child("cond_proj"), to: configuration.blockChannels[0], bias: false)
      hidden = try build.add("time_embedding.cond_proj.add", projected, hidden)
    }
    hidden = try build.linear(
      hidden, path.child("linear_1", singleFile: "0"), to: configuration.timeEmbeddingWidth)
    hidden = build.activation("time_embedding.act", .silu, hidden)
    hidden = try build.linear(
      hidden, path.child("linear_2", singleFile: "2"), to: configuration.timeEmbeddingWidth)
    return build.activation("time_embedding.nonlinearity", .silu, hidden)
  }

  /// The down blocks; each layer's output becomes a skip connection, and the input is the first.
  mutating func down(_ input: Value) throws(GraphError) -> Value {
    var hidden = input
    skips = [hidden]
    for level in configuration.blockChannels.indices {
      let path = root.child("down_blocks").child(String(level))
      for layer in 0..<configuration.layersPerBlock[level] {
        let single = "input_blocks.\(numbers.down(level, layer))"
        hidden = try resnet(
          hidden, named(path, "resnets.\(layer)", single + ".0"),
          to: configuration.blockChannels[level])
        if configuration.downAttention[level] {
          hidden = try transformer(
            hidden, named(path, "attentions.\(layer)", single + ".1"), level: level,
            onlyCross: configuration.onlyCrossAttention[level])
        }
        skips.append(hidden)
      }
      guard level < configuration.blockChannels.count - 1 else { break }
      hidden = try build.convolution(
        hidden,
        named(path, "downsamplers.0.conv", "input_blocks.\(numbers.downsampler(level)).0.op"),
        to: configuration.blockChannels[level], kernel: 3, stride: 2, padding: .all(1))
      skips.append(hidden)
    }
    return hidden
  }

  /// Only the skip connections change: the input of the middle does not.
  private mutating func addResiduals() throws(GraphError) {
    for index in skips.indices {
      skips[index] = try adding("down_block_additional_residuals_\(index)", to: skips[index])
    }
  }

  private mutating func adding(_ name: String, to image: Value) throws(GraphError) -> Value {
    let residual = build.input(name, build.shape(image))
    return try build.add(name + ".add", image, residual)
  }

  mutating func middle(_ input: Value) throws(GraphError) -> Value {
    let level = configuration.blockChannels.count - 1
    let channels = configuration.blockChannels[level]
    let path = root.child("mid_block")
    var hidden = try resnet(input, named(path, "resnets.0", "middle_block.0"), to: channels)
    hidden = try transformer(
      hidden, named(path, "attentions.0", "middle_block.1"), level: level)
    return try resnet(hidden, named(path, "resnets.1", "middle_block.2"), to: channels)
  }

  private mutating func up(_ input: Value) throws(GraphError) -> Value {
    let levels = configuration.blockChannels.count
    var hidden = input
    for index in 0..<levels {
      let level = levels - 1 - index
      let channels = configuration.blockChannels[level]
      let path = root.child("up_blocks").child(String(index))
      for layer in 0...configuration.layersPerBlock[level] {
        let single = "output_blocks.\(numbers.up(index, layer))"
        let resnetPath = named(path, "resnets.\(layer)", single + ".0")
        guard let skip = skips.popLast() else {
          throw build.failure(
            "the way up has more layers than the way down", field: "layers_per_block")
        }
        hidden = try build.concatenate(resnetPath.name + ".concatenate", hidden, skip)
        hidden = try resnet(hidden, resnetPath, to: channels)
        if configuration.upAttention[index] {
          // Converters assume that the first level has no attention, and do not rename it if it
          // has.
          let left = index == 0 ? ["\(path.name).attentions.\(layer)"] : []
          hidden = try transformer(
            hidden, named(path, "attentions.\(layer)", single + ".1", left), level: level,
            onlyCross: configuration.onlyCrossAttention[level])
        }
      }
      guard index < levels - 1, let skip = skips.last else { break }
      let (block, place) = numbers.upsampler(index, attends: configuration.upAttention[index])
      let upsampler = named(
        path, "upsamplers.0", "output_blocks.\(block).\(place)",
        index == 0 && place != 1 ? ["output_blocks.\(block).1"] : [])
      hidden = build.upsampleNearest(
        upsampler.name, hidden, height: build.shape(skip)[2], width: build.shape(skip)[3])
      hidden = try build.convolution(
        hidden, upsampler.child("conv"), to: channels, kernel: 3, padding: .all(1))
    }
    return hidden
  }

  /// A path below `parent` in diffusers' layout and below the root in single files.
  private func named(
    _ parent: Path, _ name: String, _ singleFile: String, _ singleFileAliases: [String] = []
  ) -> Path {
    let module = parent.child(name)
    return Path(
      name: module.name, aliases: module.aliases, prefix: root.prefix, singleFile: singleFile,
      singleFileAliases: singleFileAliases)
  }

  /// A residual block: norm, SiLU, convolution, the timestep added, and the same again.
  private mutating func resnet(
    _ input: Value, _ path: Path, to channels: Int
  ) throws(GraphError) -> Value {
    guard let time else {
      throw build.failure("the time embedding is missing", field: "time_embedding_type")
    }
    var hidden = try build.groupNorm(
      input, path.child("norm1", singleFile: "in_layers.0"), groups: configuration.groups,
      epsilon: configuration.normEpsilon, silu: true)
    hidden = try build.convolution(
      hidden, path.child("conv1", singleFile: "in_layers.2"), to: channels, kernel: 3,
      padding: .all(1))
    let shift = try build.linear(
      time, path.child("time_emb_proj", singleFile: "emb_layers.1"), to: channels)
    hidden = build.addPerChannel(path.name + ".time", hidden, shift)
    hidden = try build.groupNorm(
      hidden, path.child("norm2", singleFile: "out_layers.0"), groups: configuration.groups,
      epsilon: configuration.normEpsilon, silu: true)
    hidden = try build.convolution(
      hidden, path.child("conv2", singleFile: "out_layers.3"), to: channels, kernel: 3,
      padding: .all(1))
    var shortcut = input
    if try build.channels(input) != channels {
      shortcut = try build.convolution(
        input, path.child("conv_shortcut", singleFile: "skip_connection"), to: channels,
        kernel: 1, padding: .all(0))
    }
    return try build.add(path.name + ".residual", shortcut, hidden)
  }

  /// A spatial transformer: the image as tokens, through self-attention and cross-attention to the
  /// prompt.
  ///
  /// - Parameter onlyCross: whether both attend to the prompt.
  private mutating func transformer(
    _ input: Value, _ path: Path, level: Int, onlyCross: Bool = false
  ) throws(GraphError) -> Value {
    let channels = configuration.blockChannels[level]
    // Transformer2DModel fixes this epsilon, ignoring `norm_eps`.
    var hidden = try build.groupNorm(
      input, path.child("norm"), groups: configuration.groups, epsilon: 1e-6, silu: false)
    if configuration.linearProjection {
      hidden = build.imageToTokens(path.name + ".tokens", hidden)
      hidden = try build.linear(hidden, path.child("proj_in"), to: channels)
    } else {
      hidden = try build.convolution(
        hidden, path.child("proj_in"), to: channels, kernel: 1, padding: .all(0))
      hidden = build.imageToTokens(path.name + ".tokens", hidden)
    }
    for index in 0..<configuration.transformerLayers[level] {
      hidden = try transformerBlock(
        hidden, path.child("transformer_blocks").child(String(index)),
        heads: configuration.heads[level], onlyCross: onlyCross)
    }
    if configuration.linearProjection {
      hidden = try build.linear(hidden, path.child("proj_out"), to: channels)
      hidden = build.tokensToImage(path.name + ".image", hidden, like: input)
    } else {
      hidden = build.tokensToImage(path.name + ".image", hidden, like: input)
      hidden = try build.convolution(
        hidden, path.child("proj_out"), to: channels, kernel: 1, padding: .all(0))
    }
    return try build.add(path.name + ".residual", input, hidden)
  }

  private mutating func transformerBlock(
    _ input: Value, _ path: Path, heads: Int, onlyCross: Bool
  ) throws(GraphError) -> Value {
    guard let context else {
      throw build.failure("the prompt's hidden states are missing", field: "cross_attention_dim")
    }
    var norm = try build.layerNorm(input, path.child("norm1"), epsilon: 1e-5)
    var hidden = try attention(
      norm, context: onlyCross ? context : norm, path.child("attn1"), heads: heads)
    var sum = try build.add(path.name + ".attn1.residual", input, hidden)
    norm = try build.layerNorm(sum, path.child("norm2"), epsilon: 1e-5)
    hidden = try attention(norm, context: context, path.child("attn2"), heads: heads)
    sum = try build.add(path.name + ".attn2.residual", sum, hidden)
    norm = try build.layerNorm(sum, path.child("norm3"), epsilon: 1e-5)
    hidden = try feedForward(norm, path.child("ff"))
    return try build.add(path.name + ".ff.residual", sum, hidden)
  }

  private mutating func attention(
    _ input: Value, context: Value, _ path: Path, heads: Int
  ) throws(GraphError) -> Value {
    guard let width = build.shape(input).last?.fixed else {
      throw build.failure("\(path.name) has no fixed width", field: "block_out_channels")
    }
    let query = try build.linear(input, path.child("to_q"), to: width, bias: false)
    let key = try build.linear(context, path.child("to_k"), to: width, bias: false)
    let value = try build.linear(context, path.child("to_v"), to: width, bias: false)
    let hidden = try build.attention(
      path.name, query: query, key: key, value: value, heads: heads,
      upcast: configuration.upcastAttention)
    return try build.linear(hidden, path.child("to_out.0"), to: width)
  }

  /// Four times the width inside, gated by GELU.
  private mutating func feedForward(_ input: Value, _ path: Path) throws(GraphError) -> Value {
    guard let width = build.shape(input).last?.fixed else {
      throw build.failure("\(path.name) has no fixed width", field: "block_out_channels")
    }
    var hidden = try build.linear(input, path.child("net.0.proj"), to: 8 * width)
    hidden = try build.geglu(path.name + ".net.0", hidden)
    return try build.linear(hidden, path.child("net.2"), to: width)
  }
}
