import ModelFormats
import ModelGraph
import OrderedJSON

/// Configurations of UNets, and of ControlNets, which are halves of UNets.
extension ConfigurationInference {
  /// A level of a UNet, inferred from its tensors.
  struct Level {
    var channels = 0
    var layers = 0
    /// Transformer blocks per attention; 0 if the level has no attention.
    var transformers = 0
    var attendsDown = false
    var attendsUp = false
    /// Whether the self-attention layers attend to the prompt instead.
    var readsPromptOnly = false
  }

  /// The levels, and the block numbering of a single file; nil for other names.
  struct Levels {
    let levels: [Level]
    let numbering: BlockNumbering?
    /// The path of a transformer in each level with attention and in the middle.
    let transformers: [String]

    /// The configuration's field for the numbering; absent if it is the usual one.
    func field(usual: BlockNumbering) -> JSON? {
      guard let numbering, numbering != usual else { return nil }
      return .string(numbering.rawValue)
    }
  }

  static func unet(_ shapes: TensorShapes) -> JSONObject? {
    let isPublished = shapes.contains("down_blocks.0.resnets.0.conv1.weight")
    func named(_ published: String, _ single: String) -> String {
      isPublished ? published : single
    }
    let found = isPublished ? publishedLevels(shapes) : singleFileLevels(shapes, isWhole: true)
    guard
      let input = shapes(named("conv_in.weight", "input_blocks.0.0.weight"), rank: 4),
      let output = shapes(named("conv_out.weight", "out.2.weight"), rank: 4),
      let time = shapes(
        named("time_embedding.linear_1.weight", "time_embed.0.weight"), rank: 2),
      let found, let first = found.transformers.first,
      let context = shapes("\(first).transformer_blocks.0.attn2.to_k.weight", rank: 2)
    else { return nil }
    let middle = named("mid_block.resnets.0.conv1.weight", "middle_block.0.in_layers.2.weight")
    let guidance = named("time_embedding.cond_proj.weight", "time_embed.cond_proj.weight")
    let figures = UNetFigures(
      inputs: input[1], outputs: output[0], kernels: [input[3], output[3]], time: time[0],
      context: context[1], isLinear: shapes("\(first).proj_in.weight", rank: 2) != nil,
      hasMiddle: shapes.contains(middle), guidance: shapes(guidance, rank: 2)?[1],
      // SDXL's embedding of sizes and pooled prompt, and class labels: different networks.
      embedsSizes: shapes.contains(named("add_embedding.linear_1.weight", "label_emb.0.0.weight")),
      embedsClasses: isPublished && shapes.contains("class_embedding.linear_1.weight"))
    return figures.object(found)
  }

  /// The sizes of a UNet outside its levels.
  struct UNetFigures {
    var inputs: Int
    var outputs: Int
    /// Kernels of the first and last convolution.
    var kernels: [Int]
    var time: Int
    var context: Int
    var isLinear: Bool
    var hasMiddle: Bool
    /// The width of the guidance scale embedding, if there is one.
    var guidance: Int?
    var embedsSizes: Bool
    var embedsClasses: Bool

    func object(_ found: Levels) -> JSONObject {
      let levels = found.levels
      let channels = levels.map(\.channels)
      var object: JSONObject = [
        "_class_name": .string(NetworkDescriptor.unet.className), "act_fn": "silu",
        "attention_head_dim": list(heads(channels, isLinear: isLinear, context: context)),
        "block_out_channels": .array(channels.map { .integer($0) }),
        "center_input_sample": false, "cross_attention_dim": .integer(context),
        "down_block_types": .array(
          levels.map { $0.attendsDown ? "CrossAttnDownBlock2D" : "DownBlock2D" }),
        "up_block_types": .array(
          levels.reversed().map { $0.attendsUp ? "CrossAttnUpBlock2D" : "UpBlock2D" }),
        "downsample_padding": 1, "flip_sin_to_cos": true, "freq_shift": 0,
        "in_channels": .integer(inputs), "out_channels": .integer(outputs),
        "layers_per_block": list(levels.map(\.layers)), "mid_block_scale_factor": 1,
        "norm_eps": 1e-05, "norm_num_groups": .integer(groups(channels)), "sample_size": 64,
      ]
      if !hasMiddle { object["mid_block_type"] = .null }
      let transformers = levels.map { max(1, $0.transformers) }
      if transformers.contains(where: { $0 != 1 }) {
        object["transformer_layers_per_block"] = list(transformers)
      }
      let promptOnly = levels.map(\.readsPromptOnly)
      if promptOnly.contains(true) {
        object["only_cross_attention"] = .array(promptOnly.map { .bool($0) })
      }
      if isLinear { object["use_linear_projection"] = true }
      if time != 4 * channels[0] { object["time_embedding_dim"] = .integer(time) }
      if let guidance { object["time_cond_proj_dim"] = .integer(guidance) }
      if kernels[0] != 3 { object["conv_in_kernel"] = .integer(kernels[0]) }
      if kernels[1] != 3 { object["conv_out_kernel"] = .integer(kernels[1]) }
      if embedsSizes { object["addition_embed_type"] = "text_time" }
      if embedsClasses { object["class_embed_type"] = "projection" }
      object[BlockNumbering.field] = found.field(
        usual: .usual(levels.map(\.layers), hasMiddle: hasMiddle))
      return object
    }
  }

  /// SD 2 has heads of 64 channels; SD 1 has 8 heads at any width.
  static func heads(_ channels: [Int], isLinear: Bool, context: Int) -> [Int] {
    isLinear || context == 1024 ? channels.map { max(1, $0 / 64) } : channels.map { _ in 8 }
  }

  static func publishedLevels(_ shapes: TensorShapes) -> Levels? {
    var levels: [Level] = []
    while levels.count <= 16 {
      let path = "down_blocks.\(levels.count)"
      guard let shape = shapes("\(path).resnets.0.conv1.weight", rank: 4) else { break }
      levels.append(
        Level(
          channels: shape[0], layers: shapes.count { "\(path).resnets.\($0).conv1.weight" }))
    }
    let count = levels.count
    return complete(
      levels, nil, shapes, middle: "mid_block.attentions.0",
      down: { "down_blocks.\($0).attentions.0" },
      up: { ["up_blocks.\(count - 1 - $0).attentions.0"] })
  }

  /// - Parameter isWhole: whether there are up blocks, as in a UNet.
  static func singleFileLevels(_ shapes: TensorShapes, isWhole: Bool) -> Levels? {
    // The numbering that accounts for every layer, or for most of them if some are missing.
    let ways = [BlockNumbering.consecutive, .threes].map { numbering in
      let levels = downLevels(shapes, numbering)
      let numbers = BlockNumbers(numbering, layers: levels.map(\.layers))
      return (
        levels: levels, numbers: numbering,
        known: levels.reduce(0) { $0 + $1.layers }
          + (isWhole ? upLayers(shapes, levels.map(\.layers), numbers) : 0)
      )
    }
    let best = ways[1].known > ways[0].known ? ways[1] : ways[0]
    let levels = best.levels
    guard levels.allSatisfy({ $0.layers > 0 }) else { return nil }
    let numbers = BlockNumbers(best.numbers, layers: levels.map(\.layers))
    let count = levels.count
    return complete(
      levels, best.numbers, shapes, middle: "middle_block.1",
      down: { "input_blocks.\(numbers.down($0, 0)).1" },
      up: { level in
        // Converters do not rename those of the first level.
        let index = count - 1 - level
        return ["output_blocks.\(numbers.up(index, 0)).1"]
          + (index == 0 ? ["up_blocks.0.attentions.0"] : [])
      })
  }

  /// Widths and layers of the down levels.
  private static func downLevels(
    _ shapes: TensorShapes, _ numbering: BlockNumbering
  ) -> [Level] {
    func layer(_ block: Int) -> [Int]? {
      shapes("input_blocks.\(block).0.in_layers.2.weight", rank: 4)
    }
    func ends(_ block: Int) -> Bool { shapes.contains("input_blocks.\(block).0.op.weight") }
    var levels: [Level] = [Level()]
    var block = 1
    while levels.count <= 16 {
      let last = levels.count - 1
      if numbering == .threes {
        let layers = (0..<2).prefix(while: { layer(3 * last + 1 + $0) != nil }).count
        levels[last].layers = layers
        levels[last].channels = layer(3 * last + 1)?[0] ?? 0
        guard ends(3 * (last + 1)) else { break }
        levels.append(Level())
      } else if ends(block) {
        levels.append(Level())
      } else if let shape = layer(block) {
        levels[last].channels = shape[0]
        levels[last].layers += 1
      } else {
        break
      }
      block += 1
    }
    return levels
  }

  /// The number of up layers that match the numbering.
  private static func upLayers(
    _ shapes: TensorShapes, _ layers: [Int], _ numbers: BlockNumbers
  ) -> Int {
    layers.indices.reduce(0) { sum, index in
      sum
        + (0...layers[layers.count - 1 - index]).count { layer in
          shapes.contains("output_blocks.\(numbers.up(index, layer)).0.in_layers.2.weight")
        }
    }
  }

  /// The levels with facts from their transformers.
  ///
  /// - Parameters:
  ///   - middle: the path of the middle block's transformer.
  ///   - down: the path of the first transformer in a down level.
  ///   - up: the possible paths in the up level.
  private static func complete(
    _ levels: [Level], _ numbering: BlockNumbering?, _ shapes: TensorShapes, middle: String,
    down: (Int) -> String, up: (Int) -> [String]
  ) -> Levels? {
    guard (1...16).contains(levels.count) else { return nil }
    func depth(_ path: String) -> Int {
      shapes.count { "\(path).transformer_blocks.\($0).norm1.weight" }
    }
    var levels = levels
    var transformers: [String] = []
    for index in levels.indices {
      let below = down(index)
      let above = up(index).first { shapes.contains("\($0).norm.weight") }
      levels[index].attendsDown = depth(below) > 0
      levels[index].attendsUp = above != nil
      guard let path = levels[index].attendsDown ? below : above else { continue }
      levels[index].transformers = depth(path)
      let keys = shapes("\(path).transformer_blocks.0.attn1.to_k.weight", rank: 2)
      levels[index].readsPromptOnly = keys.map { $0[1] != levels[index].channels } ?? false
      transformers.append(path)
    }
    let inside = depth(middle)
    if inside > 0 {
      transformers.append(middle)
      // The middle has the depth of the last level, even if that has no attention.
      if levels[levels.count - 1].transformers == 0 {
        levels[levels.count - 1].transformers = inside
      }
    }
    return Levels(levels: levels, numbering: numbering, transformers: transformers)
  }
}
