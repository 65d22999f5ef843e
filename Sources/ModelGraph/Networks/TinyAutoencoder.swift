extension GraphName {
  /// The decoder of an AutoencoderTiny.
  public static let tinyDecoder = GraphName(rawValue: "tiny_decoder")
  /// The encoder of an AutoencoderTiny.
  public static let tinyEncoder = GraphName(rawValue: "tiny_encoder")
}

/// A tiny autoencoder: pictures to latents and back with a hundredth of the VAE's work.
///
/// Source: TAESD of Ollin Boer Bohan as in its own code and diffusers' `AutoencoderTiny`. Images
/// are in 0...1 as in the former; latents are those of the UNet. In the original files a layer's
/// name is its position among all layers, including those without weights; the decoder's clamp is
/// the first.
public enum TinyAutoencoder {
  /// Input `latent_sample [batch, latent, height, width]`;
  /// output `sample [batch, 3, 8 * height, 8 * width]` in about 0...1.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func decoder(
    _ configuration: TinyAutoencoderConfiguration
  ) throws(GraphError) -> Graph {
    var network = TinyAutoencoderBuilder(.tinyDecoder, configuration)
    try network.decoder()
    return network.build.graph
  }

  /// Input `sample [batch, 3, 8 * height, 8 * width]` in 0...1;
  /// output `latents [batch, latent, height, width]`.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func encoder(
    _ configuration: TinyAutoencoderConfiguration
  ) throws(GraphError) -> Graph {
    var network = TinyAutoencoderBuilder(.tinyEncoder, configuration)
    try network.encoder()
    return network.build.graph
  }
}

private struct TinyAutoencoderBuilder {
  typealias Value = Graph.ValueID

  let configuration: TinyAutoencoderConfiguration
  var build: GraphBuilder
  /// The number of layers so far in diffusers' list.
  private var place = 0

  init(_ name: GraphName, _ configuration: TinyAutoencoderConfiguration) {
    self.configuration = configuration
    build = GraphBuilder(
      name: name, component: VAEConfiguration.component, traits: .runsOncePerImage)
  }

  mutating func decoder() throws(GraphError) {
    var hidden = build.input(
      "latent_sample",
      [
        .symbol(.batch), Dimension(configuration.latentChannels), .symbol(.height), .symbol(.width),
      ])
    let root = Path(
      name: "decoder.layers", singleFile: "decoder", singleFileAliases: [""])
    hidden = build.activation("decoder.clamp", .latentClamp, hidden)
    hidden = try convolution(hidden, root, shift: 1, to: configuration.channels)
    hidden = build.activation("decoder.layers.\(place)", .relu, hidden)
    place += 1
    for (level, count) in configuration.decoderBlocks.enumerated() {
      hidden = try blocks(count, hidden, root, shift: 1)
      if level < configuration.decoderBlocks.count - 1 {
        let shape = build.shape(hidden)
        hidden = build.upsampleNearest(
          "decoder.layers.\(place)", hidden, height: 2 * shape[2], width: 2 * shape[3])
        place += 1
        hidden = try convolution(
          hidden, root, shift: 1, to: configuration.channels, bias: false)
      } else {
        hidden = try convolution(hidden, root, shift: 1, to: 3)
      }
    }
    build.output("sample", hidden)
  }

  mutating func encoder() throws(GraphError) {
    var hidden = build.input(
      "sample", [.symbol(.batch), 3, 8 * .symbol(.height), 8 * .symbol(.width)])
    let root = Path(
      name: "encoder.layers", singleFile: "encoder", singleFileAliases: [""])
    for (level, count) in configuration.encoderBlocks.enumerated() {
      hidden = try convolution(
        hidden, root, shift: 0, to: configuration.channels, stride: level == 0 ? 1 : 2,
        bias: level == 0)
      hidden = try blocks(count, hidden, root, shift: 0)
    }
    hidden = try convolution(hidden, root, shift: 0, to: configuration.latentChannels)
    build.output("latents", hidden)
  }

  /// The next position among the layers.
  ///
  /// - Parameter shift: positions that the original list has before it.
  private mutating func next(_ root: Path, shift: Int) -> Path {
    defer { place += 1 }
    return root.child(String(place), singleFile: String(place + shift))
  }

  private mutating func convolution(
    _ input: Value, _ root: Path, shift: Int, to channels: Int, stride: Int = 1, bias: Bool = true
  ) throws(GraphError) -> Value {
    try build.convolution(
      input, next(root, shift: shift), to: channels, kernel: 3, stride: stride, padding: .all(1),
      bias: bias)
  }

  /// Blocks of three convolutions with ReLU in between, with a residual connection, followed by
  /// ReLU.
  private mutating func blocks(
    _ count: Int, _ input: Value, _ root: Path, shift: Int
  ) throws(GraphError) -> Value {
    var hidden = input
    for _ in 0..<count {
      let path = next(root, shift: shift)
      let start = hidden
      for layer in [0, 2, 4] {
        hidden = try build.convolution(
          hidden, path.child("conv.\(layer)"), to: configuration.channels, kernel: 3,
          padding: .all(1))
        if layer < 4 {
          hidden = build.activation("\(path.name).conv.\(layer + 1)", .relu, hidden)
        }
      }
      hidden = try build.add(path.name + ".add", hidden, start)
      hidden = build.activation(path.name + ".fuse", .relu, hidden)
    }
    return hidden
  }
}
