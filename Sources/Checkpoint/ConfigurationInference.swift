import ModelFormats
import ModelGraph
import OrderedJSON

/// The configuration of a network whose file came without `config.json`, from its tensors' shapes.
///
/// Shapes give every width and depth. They do not give the number of attention heads, the groups
/// of the norms, the activation of the text encoder and the scale of the latents: those are what
/// Stable Diffusion of that width has.
package enum ConfigurationInference {
  /// What `architecture` is by the tensors, written as diffusers or transformers would; nil where
  /// tensors that tell the shape of the network are not there.
  ///
  /// - Parameter tensors: the network's, under their bare names.
  package static func configuration(
    of architecture: Architecture, _ tensors: [Tensor], path: String
  ) -> Configuration? {
    let shapes = TensorShapes(tensors)
    var prefixes: [String] = []
    for naming in architecture.namings + architecture.joinedNamings
    where !prefixes.contains(naming.prefix) {
      prefixes.append(naming.prefix)
    }
    var places = prefixes.map(shapes.below)
    if architecture == .unet {
      places.append(shapes.withoutDots(below: Architecture.average.prefix + "diffusion_model"))
    }
    for shapes in places {
      let object =
        switch architecture {
        case .textEncoder: text(shapes)
        case .unet: unet(shapes)
        case .vae: vae(shapes)
        case .controlNet: controlNet(shapes)
        case .safetyChecker: safetyChecker(shapes)
        case .tinyAutoencoder: tinyAutoencoder(shapes)
        }
      if let object { return Configuration(object: object, path: path, origin: .inferred) }
    }
    return nil
  }

  // MARK: Text encoder

  private static func text(_ shapes: TensorShapes) -> JSONObject? {
    if shapes.contains("transformer.resblocks.0.attn.in_proj_weight") { return openCLIP(shapes) }
    let roots = ["text_model.", ""]
    guard
      let root = roots.first(where: {
        shapes.contains($0 + "embeddings.token_embedding.weight")
      }), let embedding = shapes(root + "embeddings.token_embedding.weight", rank: 2),
      let positions = shapes(root + "embeddings.position_embedding.weight", rank: 2),
      let inner = shapes(root + "encoder.layers.0.mlp.fc1.weight", rank: 2)
    else { return nil }
    // OpenAI's ViT-L is 768 wide; the larger ones are OpenCLIP's.
    return text(
      embedding, positions, inner: inner[0],
      layers: shapes.count { "\(root)encoder.layers.\($0).mlp.fc1.weight" },
      isOpenCLIP: embedding[1] > 768)
  }

  /// OpenCLIP's own layout. Stable Diffusion 2 attends to the states of the layer before the last,
  /// and repositories leave the last one out: 23 of 24. What was converted back from a repository
  /// lacks it, and the projection too.
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

  /// - Parameter isOpenCLIP: its encoders have the plain GELU.
  private static func text(
    _ embedding: [Int], _ positions: [Int], inner: Int, layers: Int, isOpenCLIP: Bool
  ) -> JSONObject {
    let hidden = embedding[1]
    return [
      "architectures": [.string(Architecture.textEncoder.rawValue)],
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

  private static func vae(_ shapes: TensorShapes) -> JSONObject? {
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
      // A decoder alone: its levels count down to the picture in single files, up in diffusers.
      let levels = 4
      return isPublished
        ? "decoder.up_blocks.\(levels - 1 - level).resnets.\(layer).conv1.weight"
        : "decoder.up.\(level).block.\(layer).conv1.weight"
    }
    while let shape = shapes(convolution(channels.count, 0), rank: 4) {
      channels.append(shape[0])
      if channels.count > 16 { return nil }
    }
    // The way up has one residual block more in each level.
    let layers = shapes.count { convolution(0, $0) } - (encoder == nil ? 1 : 0)
    guard !channels.isEmpty, layers > 0 else { return nil }
    let side = encoder != nil ? "encoder" : "decoder"
    let attention = isPublished ? "mid_block.attentions.0.group_norm" : "mid.attn_1.norm"
    let latent =
      shapes("post_quant_conv.weight", rank: 4)?[1] ?? decoder?[1]
      ?? shapes("encoder.conv_out.weight", rank: 4).map { $0[0] / 2 } ?? 4
    let count = channels.count
    return [
      "_class_name": .string(Architecture.vae.rawValue), "act_fn": "silu",
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

  // MARK: UNet

  /// A level of a UNet, as its tensors show it.
  struct Level {
    var channels = 0
    var layers = 0
    /// Transformer blocks of each attention; none where the level does not attend.
    var transformers = 0
    var attendsUp = false
  }

  private static func unet(_ shapes: TensorShapes) -> JSONObject? {
    let isPublished = shapes.contains("down_blocks.0.resnets.0.conv1.weight")
    func named(_ published: String, _ single: String) -> String {
      isPublished ? published : single
    }
    guard
      let input = shapes(named("conv_in.weight", "input_blocks.0.0.weight"), rank: 4),
      let output = shapes(named("conv_out.weight", "out.2.weight"), rank: 4),
      let time = shapes(
        named("time_embedding.linear_1.weight", "time_embed.0.weight"), rank: 2)
    else { return nil }
    var levels = isPublished ? publishedLevels(shapes) : singleFileLevels(shapes)
    let middle = named("mid_block.attentions.0", "middle_block.1")
    guard !levels.isEmpty, levels.count <= 16,
      let context = shapes("\(middle).transformer_blocks.0.attn2.to_k.weight", rank: 2)
    else { return nil }
    let last = levels.count - 1
    let attendsDown = levels.map { $0.transformers > 0 }
    if levels[last].transformers == 0 {
      levels[last].transformers = shapes.count {
        "\(middle).transformer_blocks.\($0).norm1.weight"
      }
    }
    let channels = levels.map(\.channels)
    let isLinear = shapes("\(middle).proj_in.weight", rank: 2) != nil
    // SD 2 has heads of 64 channels; SD 1 has 8 heads whatever the width.
    let heads: [Int] =
      isLinear || context[1] == 1024
      ? channels.map { max(1, $0 / 64) } : channels.map { _ in 8 }
    var object: JSONObject = [
      "_class_name": .string(Architecture.unet.rawValue), "act_fn": "silu",
      "attention_head_dim": list(heads),
      "block_out_channels": .array(channels.map { .integer($0) }),
      "center_input_sample": false, "cross_attention_dim": .integer(context[1]),
      "down_block_types": .array(
        attendsDown.map { $0 ? "CrossAttnDownBlock2D" : "DownBlock2D" }),
      "up_block_types": .array(
        levels.reversed().map { $0.attendsUp ? "CrossAttnUpBlock2D" : "UpBlock2D" }),
      "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
      "in_channels": .integer(input[1]), "out_channels": .integer(output[0]),
      "layers_per_block": list(levels.map(\.layers)), "mid_block_scale_factor": 1,
      "norm_eps": 1e-05, "norm_num_groups": .integer(groups(channels)), "sample_size": 64,
    ]
    let transformers = levels.map { max(1, $0.transformers) }
    if transformers.contains(where: { $0 != 1 }) {
      object["transformer_layers_per_block"] = list(transformers)
    }
    if isLinear { object["use_linear_projection"] = true }
    if time[0] != 4 * channels[0] { object["time_embedding_dim"] = .integer(time[0]) }
    if input[3] != 3 { object["conv_in_kernel"] = .integer(input[3]) }
    if output[3] != 3 { object["conv_out_kernel"] = .integer(output[3]) }
    // SDXL's embedding of sizes and pooled prompt, and class labels: other networks.
    if shapes.contains(named("add_embedding.linear_1.weight", "label_emb.0.0.weight")) {
      object["addition_embed_type"] = "text_time"
    }
    if isPublished, shapes.contains("class_embedding.linear_1.weight") {
      object["class_embed_type"] = "projection"
    }
    return object
  }

  static func publishedLevels(_ shapes: TensorShapes) -> [Level] {
    var levels: [Level] = []
    while levels.count <= 16 {
      let path = "down_blocks.\(levels.count)"
      guard let shape = shapes("\(path).resnets.0.conv1.weight", rank: 4) else { break }
      levels.append(
        Level(
          channels: shape[0],
          layers: shapes.count { "\(path).resnets.\($0).conv1.weight" },
          transformers: shapes.count {
            "\(path).attentions.0.transformer_blocks.\($0).norm1.weight"
          }))
    }
    for index in levels.indices {
      levels[levels.count - 1 - index].attendsUp = shapes.contains(
        "up_blocks.\(index).attentions.0.norm.weight")
    }
    return levels
  }

  static func singleFileLevels(_ shapes: TensorShapes) -> [Level] {
    var levels: [Level] = [Level()]
    var block = 1
    while true {
      let path = "input_blocks.\(block)"
      if shapes.contains("\(path).0.op.weight") {
        levels.append(Level())
      } else if let shape = shapes("\(path).0.in_layers.2.weight", rank: 4) {
        levels[levels.count - 1].channels = shape[0]
        levels[levels.count - 1].layers += 1
        levels[levels.count - 1].transformers = shapes.count {
          "\(path).1.transformer_blocks.\($0).norm1.weight"
        }
      } else {
        break
      }
      block += 1
    }
    guard levels.allSatisfy({ $0.layers > 0 }) else { return [] }
    block = 0
    for index in levels.indices.reversed() {
      levels[index].attendsUp = shapes.contains("output_blocks.\(block).1.norm.weight")
      block += levels[index].layers + 1
    }
    return levels
  }

  /// One number where all are the same, as published configurations have it.
  static func list(_ numbers: [Int]) -> JSON {
    numbers.allSatisfy { $0 == numbers[0] }
      ? .integer(numbers[0]) : .array(numbers.map { .integer($0) })
  }

  /// 32 as everywhere in Stable Diffusion, or the largest power of two below that divides.
  static func groups(_ channels: [Int]) -> Int {
    [32, 16, 8, 4, 2].first { groups in channels.allSatisfy { $0 % groups == 0 } } ?? 1
  }
}
