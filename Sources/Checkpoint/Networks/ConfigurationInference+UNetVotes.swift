import ModelFormats
import ModelGraph
import OrderedJSON

extension ConfigurationInference {
  /// A UNet or ControlNet, inferred from the majority of its tensors.
  struct UNetVotes {
    /// Votes from the tensors of a block, in the down or up path.
    private struct Block {
      var channels = Votes()
      var layers = 0
      var transformers = 0
      var hasLayers = false
      var attends = false
      var ends = false
      /// The width of the self-attention input.
      var keys = Votes()

      mutating func add(_ other: Block) {
        channels.add(other.channels)
        layers = max(layers, other.layers)
        transformers = max(transformers, other.transformers)
        hasLayers = hasLayers || other.hasLayers
        attends = attends || other.attends
        keys.add(other.keys)
      }
    }

    /// By level in diffusers names, by number in single files.
    private var down: [Int: Block] = [:]
    private var up: [Int: Block] = [:]
    private var middle = Block()
    private var (inputs, outputs, time, context) = (Votes(), Votes(), Votes(), Votes())
    private var (linear, convolved, guidance) = (0, 0, nil as Int?)
    private var (embedsSizes, embedsClasses) = (false, false)
    private var hint: [Int: Votes] = [:]
    private var hintInputs = Votes()
    private let isPublished: Bool

    /// - Returns: nil unless most names belong to a UNet.
    init?(_ names: [(path: [Substring], shape: [Int])]) {
      isPublished = names.contains {
        $0.path.first == "down_blocks" || $0.path.first == "up_blocks"
      }
      var known = 0
      for (path, shape) in names {
        guard let root = path.first else { continue }
        known += 1
        switch root {
        case "conv_in" where path.last == "weight": inputs.add(shape, 1)
        case "conv_out": outputs.add(shape, 0)
        case "out" where path.count > 1 && path[1] == "2": outputs.add(shape, 0)
        case "time_embedding", "time_embed": addTime(path, shape)
        case "label_emb": embedsSizes = true
        case "add_embedding": embedsSizes = true
        case "class_embedding": embedsClasses = true
        case "conv_in", "out", "conv_norm_out", "add_time_proj": break
        case "controlnet_cond_embedding", "input_hint_block": addHint(path, shape)
        case "controlnet_down_blocks", "controlnet_mid_block", "zero_convs", "middle_block_out":
          break
        case "middle_block", "mid_block": middle.add(block(path.dropFirst(), shape))
        case "input_blocks" where path.count > 2 && path[1] == "0":
          if path.last == "weight" { inputs.add(shape, 1) }
        case "down_blocks", "input_blocks", "up_blocks", "output_blocks":
          guard path.count > 3, let number = Int(path[1]), number < 64 else {
            known -= 1
            continue
          }
          let found = block(path.dropFirst(2), shape)
          if root == "down_blocks" || root == "input_blocks" {
            down[number, default: Block()].add(found)
            if path[3] == "op" || path[2] == "downsamplers" { down[number]?.ends = true }
          } else {
            up[number, default: Block()].add(found)
          }
        default: known -= 1
        }
      }
      guard 2 * known > names.count, down.count + up.count > 1 else { return nil }
    }

    private mutating func addTime(_ path: [Substring], _ shape: [Int]) {
      if path.contains("cond_proj") {
        guidance = shape.count == 2 ? shape[1] : guidance
      } else {
        time.add(shape, 0)
      }
    }

    /// The convolutions of a ControlNet's image, numbered in fours in single files.
    private mutating func addHint(_ path: [Substring], _ shape: [Int]) {
      guard path.last == "weight", path.count > 2 else { return }
      let isFirst = path[1] == "conv_in" || path[1] == "0"
      if isFirst { hintInputs.add(shape, 1) }
      let place: Int?
      if path[0] == "input_hint_block" {
        place = Int(path[1]).flatMap { $0 % 4 == 0 && $0 < 16 ? $0 / 4 : nil }
      } else if path[1] == "blocks" {
        place = Int(path[2]).flatMap { $0 % 2 == 1 && $0 < 6 ? ($0 + 1) / 2 : nil }
      } else {
        place = isFirst ? 0 : nil
      }
      if let place { hint[place, default: Votes()].add(shape, 0) }
    }

    /// Adds a tensor's votes for its block.
    ///
    /// - Parameter path: the path after the block's number.
    private mutating func block(_ path: ArraySlice<Substring>, _ shape: [Int]) -> Block {
      var found = Block()
      let words = Array(path)
      guard words.count > 1 else { return found }
      // `resnets.0.conv1.weight`, or `0.in_layers.2.weight`.
      let isNamed = ["resnets", "attentions", "downsamplers", "upsamplers"].contains(words[0])
      let layer = isNamed ? Int(words[1]) ?? 0 : 0
      guard layer < 64 else { return found }
      let inner = Array(words.dropFirst(isNamed ? 2 : 1))
      guard let module = inner.first else { return found }
      switch module {
      case "in_layers", "out_layers", "emb_layers", "skip_connection", "conv1", "conv2", "norm1",
        "norm2", "time_emb_proj", "conv_shortcut":
        guard words[0] != "attentions" else { break }
        found.hasLayers = true
        found.layers = layer + 1
        // The first norm has the width of the input.
        let isInput =
          module == "norm1" || module == "in_layers" && inner.dropFirst().first == "0"
        if !isInput { found.channels.add(shape, 0) }
        if module == "time_emb_proj" || module == "emb_layers" { time.add(shape, 1) }
      case "norm", "proj_in", "proj_out", "transformer_blocks":
        found.attends = true
        if module == "norm" || inner.last == "weight" && module == "proj_out" {
          found.channels.add(shape, 0)
        }
        if module == "proj_in" || module == "proj_out", inner.last == "weight" {
          linear += shape.count == 2 ? 1 : 0
          convolved += shape.count == 4 ? 1 : 0
        }
        guard module == "transformer_blocks", inner.count > 2, let number = Int(inner[1]),
          number < 64
        else { break }
        found.transformers = number + 1
        guard inner.last == "weight", inner.count > 3, ["to_k", "to_v"].contains(inner[3]) else {
          break
        }
        if inner[2] == "attn2" { context.add(shape, 1) }
        if inner[2] == "attn1" { found.keys.add(shape, 1) }
      case "op", "conv":
        found.channels.add(shape, 0)
      default: break
      }
      return found
    }

    // MARK: Levels

    /// The blocks of each level in both paths, and their numbering.
    private func levels(isWhole: Bool) -> (
      down: [Block], up: [Block], layers: Int, numbering: BlockNumbering?
    )? {
      if isPublished {
        let count = max(down.keys.max() ?? -1, up.keys.max() ?? -1) + 1
        let below = (0..<count).map { down[$0] ?? Block() }
        let above = (0..<count).map { up[count - 1 - $0] ?? Block() }
        let layers = zip(below, above).map { max($0.layers, $1.layers - 1) }.max() ?? 0
        guard (1...16).contains(count), layers > 0 else { return nil }
        return (below, above, layers, nil)
      }
      // The numbering with most consistent blocks and fewest missing ones.
      var best: (score: Int, count: Int, layers: Int, numbering: BlockNumbering)?
      for numbering in [BlockNumbering.consecutive, .threes] {
        for count in 2...6 {
          for layers in 1...(numbering == .threes ? 1 : 4) {
            let score = score(count, layers, numbering, isWhole: isWhole)
            if score > best?.score ?? Int.min { best = (score, count, layers, numbering) }
          }
        }
      }
      guard let best else { return nil }
      let numbers = BlockNumbers(
        best.numbering, layers: Array(repeating: best.layers, count: best.count))
      func joined(_ blocks: [Int: Block], _ places: [Int]) -> Block {
        places.reduce(into: Block()) { sum, place in
          if let block = blocks[place] { sum.add(block) }
        }
      }
      return (
        (0..<best.count).map { level in
          joined(down, (0..<best.layers).map { numbers.down(level, $0) })
        },
        (0..<best.count).map { level in
          joined(up, (0...best.layers).map { numbers.up(best.count - 1 - level, $0) })
        }, best.layers, best.numbering
      )
    }

    /// Scores how well blocks fit this number of levels and layers.
    private func score(
      _ count: Int, _ layers: Int, _ numbering: BlockNumbering, isWhole: Bool
    ) -> Int {
      let numbers = BlockNumbers(numbering, layers: Array(repeating: layers, count: count))
      var score = 0
      var places: (down: Set<Int>, ends: Set<Int>, up: Set<Int>) = ([], [], [])
      for level in 0..<count {
        for layer in 0..<layers { places.down.insert(numbers.down(level, layer)) }
        for layer in 0...layers { places.up.insert(numbers.up(level, layer)) }
        if level < count - 1 { places.ends.insert(numbers.downsampler(level)) }
      }
      for (number, block) in down {
        let fits =
          block.ends
          ? places.ends.contains(number)
          : places.down.contains(number)
        score += fits ? 2 : -2
      }
      for number in up.keys { score += places.up.contains(number) ? 2 : -2 }
      score -= places.down.subtracting(down.keys).count + places.ends.subtracting(down.keys).count
      if isWhole { score -= places.up.subtracting(up.keys).count }
      return score
    }

    // MARK: Configuration

    /// - Parameter isWhole: whether it is a UNet, not a ControlNet.
    func object(isWhole: Bool) -> JSONObject? {
      guard let found = levels(isWhole: isWhole), let context = context.winner else { return nil }
      var levels: [Level] = []
      for (below, above) in zip(found.down, found.up) {
        var votes = below.channels
        votes.add(above.channels)
        guard let width = votes.winner ?? levels.last?.channels else { return nil }
        // In ControlNets for Stable Diffusion 1 and 2, all of the four levels except the last have
        // attention.
        let attends =
          below.attends || above.attends
          || !isWhole && found.down.count == 4 && levels.count < 3
        var keys = below.keys
        keys.add(above.keys)
        levels.append(
          Level(
            channels: width, layers: found.layers,
            transformers: max(below.transformers, above.transformers), attendsDown: attends,
            attendsUp: attends, readsPromptOnly: keys.winner.map { $0 != width } ?? false))
      }
      guard let last = levels.indices.last else { return nil }
      if levels[last].transformers == 0 { levels[last].transformers = middle.transformers }
      let hasMiddle = middle.hasLayers || middle.attends || found.layers > 1 || !isWhole
      let numbering = found.numbering
      let outputs = outputs.winner ?? 4
      let figures = UNetFigures(
        inputs: inputs.winner ?? outputs, outputs: outputs, kernels: [3, 3],
        time: time.winner ?? 4 * levels[0].channels, context: context,
        isLinear: linear > convolved, hasMiddle: hasMiddle, guidance: guidance,
        embedsSizes: embedsSizes || context == 2048, embedsClasses: embedsClasses)
      let all = Levels(levels: levels, numbering: numbering, transformers: [])
      return isWhole ? figures.object(all) : controlNet(figures, all)
    }

    private func controlNet(_ figures: UNetFigures, _ levels: Levels) -> JSONObject {
      var object = figures.object(levels)
      for field in [
        "center_input_sample", "up_block_types", "out_channels", "sample_size", "mid_block_type",
        BlockNumbering.field,
      ] {
        object[field] = nil
      }
      object["_class_name"] = .string(NetworkDescriptor.controlNet.className)
      object["conditioning_embedding_out_channels"] = .array(
        zip(0..., [16, 32, 96, 256]).map { .integer(hint[$0]?.winner ?? $1) })
      object["controlnet_conditioning_channel_order"] = "rgb"
      if let channels = hintInputs.winner, channels != 3 {
        object["conditioning_channels"] = .integer(channels)
      }
      object[BlockNumbering.field] = levels.field(usual: .consecutive)
      return object
    }
  }
}
