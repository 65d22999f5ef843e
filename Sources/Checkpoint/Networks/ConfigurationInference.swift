import ModelFormats
import ModelGraph
import OrderedJSON

/// The configuration of a network without `config.json`, inferred from tensor shapes.
///
/// Shapes determine every width and depth. They do not determine the number of attention heads,
/// norm groups, the text encoder's activation and the latent scale: these are assumed from Stable
/// Diffusion at that width.
package enum ConfigurationInference {
  /// The field that says which half of an autoencoder a file holds, where it is one alone: `encoder` or
  /// `decoder`. Fields that begin so change no network.
  static let half = "_half"

  /// What `network` is by the tensors, written as diffusers or transformers would; nil where
  /// tensors that tell the shape of the network are not there.
  ///
  /// - Parameter tensors: the network's tensors, under their bare names.
  package static func configuration(
    of network: NetworkDescriptor, _ tensors: [Tensor], path: String
  ) -> Configuration? {
    let shapes = TensorShapes(tensors)
    var places = network.prefixes.map(shapes.below)
    if let place = network.averagePlace { places.append(shapes.withoutDots(below: place)) }
    for shapes in places {
      if let object = network.inferred(shapes) {
        return Configuration(object: object, path: path, origin: .inferred)
      }
    }
    return nil
  }

  // MARK: Text encoder

  static func text(_ shapes: TensorShapes) -> JSONObject? {
    if shapes.contains("transformer.resblocks.0.attn.in_proj_weight") { return openCLIP(shapes) }
    let roots = ["text_model.", ""]
    guard
      let root = roots.first(where: {
        shapes.contains($0 + "embeddings.token_embedding.weight")
      }), let embedding = shapes(root + "embeddings.token_embedding.weight", rank: 2),
      let positions = shapes(root + "embeddings.position_embedding.weight", rank: 2),
      let inner = shapes(root + "encoder.layers.0.mlp.fc1.weight", rank: 2)
    else { return nil }
    // OpenAI's ViT-L has width 768; larger ones are OpenCLIP's.
    return text(
      embedding, positions, inner: inner[0],
      layers: shapes.count { "\(root)encoder.layers.\($0).mlp.fc1.weight" },
      isOpenCLIP: embedding[1] > 768)
  }

  /// OpenCLIP's own layout. Stable Diffusion 2 uses the output of the layer before the last, and
  /// repositories omit the last one: 23 of 24. Files converted back from a repository lack it, and
  /// also the projection.
  private static func openCLIP(_ shapes: TensorShapes) -> JSONObject? {
    guard let embedding = shapes("token_embedding.weight", rank: 2),
      let positions = shapes("positional_embedding", rank: 2),
      let inner = shapes("transformer.resblocks.0.mlp.c_fc.weight", rank: 2)
    else { return nil }
    let layers = shapes.count { "transformer.resblocks.\($0).mlp.c_fc.weight" }
    let isWhole = embedding[1] == 1024 ? layers == 24 : shapes.contains("text_projection")
    return text(
      embedding, positions, inner: inner[0], layers: isWhole ? max(1, layers - 1) : layers,
      isOpenCLIP: true)
  }

  /// - Parameter isOpenCLIP: OpenCLIP's encoders use plain GELU.
  static func text(
    _ embedding: [Int], _ positions: [Int], inner: Int, layers: Int, isOpenCLIP: Bool
  ) -> JSONObject {
    let hidden = embedding[1]
    return [
      "architectures": [.string(NetworkDescriptor.textEncoder.className)],
      "model_type": "clip_text_model",
      "hidden_act": isOpenCLIP ? "gelu" : "quick_gelu",
      "hidden_size": .integer(hidden), "intermediate_size": .integer(inner),
      "layer_norm_eps": 1e-05, "max_position_embeddings": .integer(positions[0]),
      "num_attention_heads": .integer(hidden % 64 == 0 ? hidden / 64 : 1),
      "num_hidden_layers": .integer(layers),
      "projection_dim": .integer(hidden > 768 ? hidden / 2 : 768),
      "vocab_size": .integer(embedding[0]),
      "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1,
    ]
  }

  // MARK: VAE

  static func vae(_ shapes: TensorShapes) -> JSONObject? {
    let encoder = shapes("encoder.conv_in.weight", rank: 4)
    let decoder = shapes("decoder.conv_in.weight", rank: 4)
    let output = shapes("decoder.conv_out.weight", rank: 4)
    guard encoder != nil || decoder != nil else { return nil }
    let isPublished =
      shapes.contains("encoder.conv_norm_out.weight")
      || shapes.contains("decoder.conv_norm_out.weight")
    var channels: [Int] = []
    func convolution(_ level: Int, _ layer: Int) -> String {
      if encoder != nil {
        return isPublished
          ? "encoder.down_blocks.\(level).resnets.\(layer).conv1.weight"
          : "encoder.down.\(level).block.\(layer).conv1.weight"
      }
      // A decoder only: its levels count down to the image in single files, up in diffusers.
      let levels = 4
      return isPublished
        ? "decoder.up_blocks.\(levels - 1 - level).resnets.\(layer).conv1.weight"
        : "decoder.up.\(level).block.\(layer).conv1.weight"
    }
    while let shape = shapes(convolution(channels.count, 0), rank: 4) {
      channels.append(shape[0])
      if channels.count > 16 { return nil }
    }
    // Up levels have one more residual block each.
    let layers = shapes.count { convolution(0, $0) } - (encoder == nil ? 1 : 0)
    guard !channels.isEmpty, layers > 0 else { return nil }
    let side = encoder != nil ? "encoder" : "decoder"
    let attention = isPublished ? "mid_block.attentions.0.group_norm" : "mid.attn_1.norm"
    let latent =
      shapes("post_quant_conv.weight", rank: 4)?[1] ?? decoder?[1]
      ?? shapes("encoder.conv_out.weight", rank: 4).map { $0[0] / 2 } ?? 4
    let count = channels.count
    return [
      "_class_name": .string(NetworkDescriptor.vae.className), "act_fn": "silu",
      "block_out_channels": .array(channels.map { .integer($0) }),
      "down_block_types": .array(.init(repeating: "DownEncoderBlock2D", count: count)),
      "up_block_types": .array(.init(repeating: "UpDecoderBlock2D", count: count)),
      "in_channels": .integer(encoder?[1] ?? output?[0] ?? 3),
      "out_channels": .integer(output?[0] ?? encoder?[1] ?? 3),
      "latent_channels": .integer(latent), "layers_per_block": .integer(layers),
      "mid_block_add_attention": .bool(shapes.contains("\(side).\(attention).weight")),
      "norm_num_groups": .integer(groups(channels)), "sample_size": 512,
      "scaling_factor": 0.18215,
      "use_quant_conv": .bool(encoder == nil || shapes.contains("quant_conv.weight")),
      "use_post_quant_conv": .bool(decoder == nil || shapes.contains("post_quant_conv.weight")),
    ]
  }

  /// One number if all are equal, as in published configurations.
  static func list(_ numbers: [Int]) -> JSON {
    numbers.allSatisfy { $0 == numbers[0] }
      ? .integer(numbers[0]) : .array(numbers.map { .integer($0) })
  }

  /// 32 as everywhere in Stable Diffusion, or the largest power of two below it that divides all
  /// widths.
  static func groups(_ channels: [Int]) -> Int {
    [32, 16, 8, 4, 2].first { groups in channels.allSatisfy { $0 % groups == 0 } } ?? 1
  }
}
