import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// A ControlNet, which has half of a UNet's tensors.
  public static let controlNet = NetworkDescriptor(
    className: "ControlNetModel", component: .controlNet, title: "ControlNet", role: .optional,
    graphNames: [.controlNet],
    marks: [
      ["controlnet_cond_embedding.conv_in.weight", "conv_in.weight"],
      ["input_hint_block.0.weight", "input_blocks.0.0.weight"],
    ],
    isRecognizedFirst: true, hints: ["controlnet_down_blocks.", "zero_convs."],
    places: [SingleFilePlace(prefix: "control_model.")],
    namings: [.published] + ["control_model.", ""].map { Naming(.singleFile, prefix: $0) },
    writtenPrefix: (beside: "control_model.", alone: "control_model."),
    inferred: ConfigurationInference.controlNet,
    likelyInferred: likelyControlNet,
    isDoubtful: ConfigurationInference.isDoubtfulControlNet
  ) { object throws(GraphError) in [try ControlNet.graph(ControlNetConfiguration(object))] }

  private static func likelyControlNet(_ names: [PathAndShape]) -> JSONObject? {
    ConfigurationInference.UNetVotes(names)?.object(isWhole: false)
  }
}

extension ConfigurationInference {
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
    // The picture's convolutions: the first, and every other one of those after it.
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
      "_class_name": .string(NetworkDescriptor.controlNet.className), "act_fn": "silu",
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
}
