import ModelGraph
import OrderedJSON

/// Configurations of networks other than a pipeline's main three.
extension ConfigurationInference {
  /// The field for the half of a tiny autoencoder in a file with only one half: `encoder` or
  /// `decoder`. Fields with this prefix do not change the network.
  static let half = "_half"

  static func controlNet(_ shapes: TensorShapes) -> JSONObject? {
    let isPublished = shapes.contains("down_blocks.0.resnets.0.conv1.weight")
    func named(_ published: String, _ single: String) -> String {
      isPublished ? published : single
    }
    let found = isPublished ? publishedLevels(shapes) : singleFileLevels(shapes, isWhole: false)
    let middle = named("mid_block.attentions.0", "middle_block.1")
    guard let found,
      let input = shapes(named("conv_in.weight", "input_blocks.0.0.weight"), rank: 4),
      let context = shapes("\(middle).transformer_blocks.0.attn2.to_k.weight", rank: 2)
    else { return nil }
    // The convolutions of the control image: the first, and then every other one.
    var picture: [[Int]] = []
    for index in 0..<4 {
      let path = named(
        "controlnet_cond_embedding." + (index == 0 ? "conv_in" : "blocks.\(2 * index - 1)"),
        "input_hint_block.\(4 * index)")
      guard let shape = shapes("\(path).weight", rank: 4) else { return nil }
      picture.append(shape)
    }
    let levels = found.levels
    let channels = levels.map(\.channels)
    let isLinear = shapes("\(middle).proj_in.weight", rank: 2) != nil
    let heads = heads(channels, isLinear: isLinear, context: context[1])
    var object: JSONObject = [
      "_class_name": .string(Architecture.controlNet.rawValue), "act_fn": "silu",
      "attention_head_dim": list(heads),
      "block_out_channels": .array(channels.map { .integer($0) }),
      "conditioning_embedding_out_channels": .array(picture.map { .integer($0[0]) }),
      "controlnet_conditioning_channel_order": "rgb",
      "cross_attention_dim": .integer(context[1]),
      "down_block_types": .array(
        levels.map { $0.attendsDown ? "CrossAttnDownBlock2D" : "DownBlock2D" }),
      "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
      "in_channels": .integer(input[1]), "layers_per_block": list(levels.map(\.layers)),
      "mid_block_scale_factor": 1, "norm_eps": 1e-05,
      "norm_num_groups": .integer(groups(channels)),
    ]
    if picture[0][1] != 3 { object["conditioning_channels"] = .integer(picture[0][1]) }
    if isLinear { object["use_linear_projection"] = true }
    object[BlockNumbering.field] = found.field(usual: .consecutive)
    return object
  }

  static func safetyChecker(_ shapes: TensorShapes) -> JSONObject? {
    let roots = ["vision_model.vision_model.", "vision_model."]
    guard
      let root = roots.first(where: { shapes.contains($0 + "embeddings.class_embedding") }),
      let patch = shapes(root + "embeddings.patch_embedding.weight", rank: 4),
      let positions = shapes(root + "embeddings.position_embedding.weight", rank: 2),
      let inner = shapes(root + "encoder.layers.0.mlp.fc1.weight", rank: 2),
      let projection = shapes("visual_projection.weight", rank: 2)
    else { return nil }
    let side = Int(Double(positions[0] - 1).squareRoot().rounded())
    let vision: JSONObject = [
      "hidden_act": "quick_gelu", "hidden_size": .integer(patch[0]),
      "image_size": .integer(side * patch[3]), "intermediate_size": .integer(inner[0]),
      "layer_norm_eps": 1e-05,
      "num_attention_heads": .integer(patch[0] % 64 == 0 ? patch[0] / 64 : 1),
      "num_hidden_layers": .integer(
        shapes.count { "\(root)encoder.layers.\($0).mlp.fc1.weight" }),
      "patch_size": .integer(patch[3]),
    ]
    return [
      "architectures": [.string(Architecture.safetyChecker.rawValue)],
      "projection_dim": .integer(projection[0]), "vision_config": .object(vision),
    ]
  }

  /// Counts the blocks between the convolutions that change the size.
  static func tinyAutoencoder(_ shapes: TensorShapes) -> JSONObject? {
    func blocks(_ roots: [String], first: Int) -> (counts: [Int], latent: [Int], width: Int)? {
      guard
        let root = roots.first(where: { shapes("\($0)\(first).weight", rank: 4) != nil }),
        let entry = shapes("\(root)\(first).weight", rank: 4)
      else { return nil }
      var counts = [0]
      var latest = entry
      // Layers without weights and upsampling are in between.
      var gap = 0
      for place in (first + 1)..<256 where gap < 3 {
        gap += 1
        if shapes.contains("\(root)\(place).conv.0.weight") {
          counts[counts.count - 1] += 1
          gap = 0
        } else if let shape = shapes("\(root)\(place).weight", rank: 4) {
          counts.append(0)
          latest = shape
          gap = 0
        }
      }
      // The last convolution ends the last level.
      guard counts.last == 0, counts.count == 5 else { return nil }
      return (counts.dropLast(), [entry[1], latest[0]], entry[0])
    }
    // In the original numbering a decoder begins after its clamp.
    let isHalf = shapes.contains("1.weight") || shapes.contains("0.weight")
    let encoder = blocks(["encoder.layers.", "encoder."] + (isHalf ? [""] : []), first: 0)
    let decoder =
      blocks(["decoder.layers."], first: 0)
      ?? blocks(["decoder."] + (isHalf && encoder == nil ? [""] : []), first: 1)
    guard let width = encoder?.width ?? decoder?.width,
      let latent = decoder?.latent[0] ?? encoder?.latent[1]
    else { return nil }
    let widths: JSON = .array(Array(repeating: .integer(width), count: 4))
    var object: JSONObject = [
      "_class_name": .string(Architecture.tinyAutoencoder.rawValue), "act_fn": "relu",
      "decoder_block_out_channels": widths, "encoder_block_out_channels": widths,
      "in_channels": 3, "latent_channels": .integer(latent), "out_channels": 3,
      "scaling_factor": 1.0, "upsampling_scaling_factor": 2,
    ]
    if let encoder { object["num_encoder_blocks"] = .array(encoder.counts.map { .integer($0) }) }
    if let decoder { object["num_decoder_blocks"] = .array(decoder.counts.map { .integer($0) }) }
    if encoder == nil { object[half] = "decoder" }
    if decoder == nil { object[half] = "encoder" }
    return object
  }
}
