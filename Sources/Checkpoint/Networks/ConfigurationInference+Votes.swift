import ModelFormats
import ModelGraph
import OrderedJSON

/// Configurations of networks with missing or misshapen tensors: each size is the majority vote of
/// the tensors that depend on it, and a part exists if any of its tensors does.
///
/// If the tensors leave a choice, the network is assumed to be like published ones: equal layers
/// per level, attention in a down level if its up level has it, and a middle block unless it is
/// distilled.
extension ConfigurationInference {
  /// - Parameter tensors: the network's tensors, under their bare names.
  /// - Returns: nil if too few tensors have names of that network.
  static func likelyConfiguration(
    of network: NetworkDescriptor, _ tensors: [Tensor], path: String
  ) -> Configuration? {
    // The longest prefix that most names have.
    var best: (names: [(path: [Substring], shape: [Int])], count: Int)?
    for prefix in network.prefixes.sorted(by: { $0.utf8.count > $1.utf8.count }) {
      let names = tensors.filter { $0.name.hasPrefix(prefix) }.map { tensor in
        (
          path: tensor.name.dropFirst(prefix.count).split(separator: "."),
          shape: tensor.shape.dimensions
        )
      }
      if names.count > best?.count ?? 0 { best = (names, names.count) }
    }
    guard let names = best?.names, let object = network.likelyInferred?(names) else { return nil }
    return Configuration(object: object, path: path, origin: .inferred)
  }

  /// Whether an inferred configuration has one of two parts that belong together, so that the other
  /// is missing.
  static func isContradictory(
    _ configuration: Configuration, of network: NetworkDescriptor
  ) -> Bool {
    network.isContradictory(configuration.object)
  }

  /// Whether a configuration that was read off tensors is of a network that nobody publishes, so that
  /// perhaps some of its tensors are missing.
  static func isDoubtful(_ configuration: Configuration, of network: NetworkDescriptor) -> Bool {
    isContradictory(configuration, of: network) || network.isDoubtful(configuration.object)
  }

  /// Prompts of two text encoders come with an embedding of the picture's size; and where attention is
  /// on the way down, it is on the way up.
  static func isContradictoryUNet(_ object: JSONObject) -> Bool {
    object["cross_attention_dim"]?.int == 2048 && object["addition_embed_type"] == nil
      || attention(object, "down_block_types") != attention(object, "up_block_types").reversed()
  }

  static func isDoubtfulUNet(_ object: JSONObject) -> Bool {
    let layers = object["layers_per_block"]
    let fewest = layers?.int ?? layers?.array?.compactMap(\.int).min() ?? 2
    return object["mid_block_type"]?.isNull == true && fewest >= 2
      || object["conv_in_kernel"] != nil || object["conv_out_kernel"] != nil
  }

  static func isContradictoryVAE(_ object: JSONObject) -> Bool {
    let off = ["use_quant_conv", "use_post_quant_conv"].filter { object[$0] == .bool(false) }
    return object["latent_channels"]?.int == 4 && off.count == 1 && object[half] == nil
  }

  static func isDoubtfulVAE(_ object: JSONObject) -> Bool {
    object["mid_block_add_attention"] == .bool(false)
      || object["latent_channels"]?.int == 4
        && ["use_quant_conv", "use_post_quant_conv"].contains { object[$0] == .bool(false) }
  }

  static func isDoubtfulText(_ object: JSONObject) -> Bool {
    guard let hidden = object["hidden_size"]?.int, let layers = object["num_hidden_layers"]?.int
    else { return false }
    return layers < publishedLayers(hidden, vocabulary: object["vocab_size"]?.int)
  }

  static func isDoubtfulControlNet(_ object: JSONObject) -> Bool {
    let levels = attention(object, "down_block_types")
    return levels.count == 4 && levels[0] != true
  }

  /// Whether each level of a UNet has attention.
  private static func attention(_ object: JSONObject, _ key: String) -> [Bool?] {
    (object[key]?.array ?? []).map { $0.string?.contains("Attn") }
  }

  /// The layers of Stable Diffusion's text encoders, without OpenCLIP's last one; 1 for other
  /// widths.
  private static func publishedLayers(_ hidden: Int, vocabulary: Int?) -> Int {
    guard vocabulary == nil || vocabulary == 49_408 else { return 1 }
    switch hidden {
    case 768: return 12
    case 1024: return 23
    case 1280: return 32
    default: return 1
    }
  }

  static func likelyText(_ names: [(path: [Substring], shape: [Int])]) -> JSONObject? {
    var (hidden, inner, tokens, positions) = (Votes(), Votes(), Votes(), Votes())
    var (layers, known, isOpenCLIP) = (0, 0, false)
    for (whole, shape) in names {
      let path = whole.first == "text_model" ? whole.dropFirst() : whole[...]
      let (root, tail) = (path.prefix(2).joined(separator: "."), path.suffix(2))
      let (module, kind) = (tail.first ?? "", tail.last ?? "")
      var isKnown = true
      switch root {
      case "encoder.layers", "transformer.resblocks":
        isOpenCLIP = isOpenCLIP || root == "transformer.resblocks"
        guard path.count > 3, let layer = Int(path[path.startIndex + 2]), layer < 256 else {
          continue
        }
        layers = max(layers, layer + 1)
        switch module {
        case "fc1", "c_fc": inner.add(shape, 0)
        case "fc2", "c_proj":
          if kind == "weight" { inner.add(shape, 1) }
          hidden.add(shape, 0)
        case "layer_norm1", "layer_norm2", "ln_1", "ln_2", "q_proj", "k_proj", "v_proj",
          "out_proj":
          hidden.add(shape, 0)
        default: isKnown = path.contains("attn")
        }
      case "embeddings.token_embedding", "token_embedding.weight":
        tokens.add(shape, 0)
        hidden.add(shape, 1)
      case "embeddings.position_embedding", "positional_embedding":
        positions.add(shape, 0)
        hidden.add(shape, 1)
      case "final_layer_norm.weight", "final_layer_norm.bias", "ln_final.weight", "ln_final.bias":
        hidden.add(shape, 0)
      default: isKnown = false
      }
      known += isKnown ? 1 : 0
    }
    guard 2 * known > names.count, let width = hidden.winner, let inner = inner.winner else {
      return nil
    }
    let vocabulary = tokens.winner
    var count = max(layers, publishedLayers(width, vocabulary: vocabulary))
    // OpenCLIP's last layer is not used.
    if isOpenCLIP, width == 1024 { count = min(count, 23) }
    return text(
      [vocabulary ?? 49_408, width], [positions.winner ?? 77, width], inner: inner, layers: count,
      isOpenCLIP: isOpenCLIP || width > 768)
  }
}

/// The votes of tensors for one size.
struct Votes {
  private var counts: [Int: Int] = [:]

  /// Adds the size of a dimension if the shape has it and the size is valid for networks.
  mutating func add(_ shape: [Int], _ axis: Int) {
    guard shape.indices.contains(axis), (1...65_536).contains(shape[axis]) else { return }
    counts[shape[axis], default: 0] += 1
  }

  mutating func add(_ other: Votes) { counts.merge(other.counts, uniquingKeysWith: +) }

  /// The size with most votes, the smallest if tied.
  var winner: Int? {
    counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
  }
}

/// A VAE by what most of its tensors say.
struct VAEVotes {
  private var channels: [Int: Votes] = [:]
  private var (latent, pictures) = (Votes(), Votes())
  private var (levels, layers) = (0, 0)
  private var (hasAttention, hasQuantConv, hasPostQuantConv) = (false, false, false)
  private let isPublished: Bool

  init?(_ names: [(path: [Substring], shape: [Int])]) {
    isPublished = names.contains { $0.path.dropFirst().first?.hasSuffix("_blocks") ?? false }
    var known = 0
    // Up levels in diffusers names count from the lowest resolution.
    var up: [Int: Votes] = [:]
    for (path, shape) in names {
      let text = path.joined(separator: ".")
      known += 1
      switch path.first {
      case "quant_conv": hasQuantConv = true
      case "post_quant_conv":
        hasPostQuantConv = true
        latent.add(shape, 0)
      case "encoder" where text == "encoder.conv_in.weight",
        "decoder" where text.hasPrefix("decoder.conv_out."):
        pictures.add(shape, path[0] == "encoder" ? 1 : 0)
      case "decoder" where text == "decoder.conv_in.weight": latent.add(shape, 1)
      case "encoder" where text.hasPrefix("encoder.conv_out."):
        latent.add(shape.map { $0 / 2 }, 0)
      case "encoder", "decoder":
        guard path.count > 3 else { continue }
        let isUp = path[0] == "decoder"
        switch path[1] {
        case "mid", "mid_block":
          if path[2].hasPrefix("attn") || path[2] == "attentions" { hasAttention = true }
        case "down", "up", "down_blocks", "up_blocks":
          guard let level = Int(path[2]), level < 16 else { continue }
          levels = max(levels, level + 1)
          guard path.count > 5, let layer = Int(path[4]), layer < 64,
            path[3] == "block" || path[3] == "resnets"
          else { continue }
          layers = max(layers, isUp ? layer : layer + 1)
          guard ["conv1", "conv2", "norm2", "conv_shortcut", "nin_shortcut"].contains(path[5])
          else { continue }
          if isUp && isPublished {
            up[level, default: Votes()].add(shape, 0)
          } else {
            channels[level, default: Votes()].add(shape, 0)
          }
        default: known -= 1
        }
      default: known -= 1
      }
    }
    for (level, votes) in up { channels[levels - 1 - level, default: Votes()].add(votes) }
    guard 2 * known > names.count, levels > 1, layers > 0 else { return nil }
  }

  var object: JSONObject? {
    var widths: [Int] = []
    for level in 0..<levels {
      guard let width = channels[level]?.winner ?? widths.last else { return nil }
      widths.append(width)
    }
    let latents = latent.winner ?? 4
    let pictures = pictures.winner ?? 3
    return [
      "_class_name": .string(NetworkDescriptor.vae.className), "act_fn": "silu",
      "block_out_channels": .array(widths.map { .integer($0) }),
      "down_block_types": .array(.init(repeating: "DownEncoderBlock2D", count: levels)),
      "up_block_types": .array(.init(repeating: "UpDecoderBlock2D", count: levels)),
      "in_channels": .integer(pictures), "out_channels": .integer(pictures),
      "latent_channels": .integer(latents), "layers_per_block": .integer(layers),
      "mid_block_add_attention": .bool(hasAttention || [4, 16].contains(latents)),
      "norm_num_groups": .integer(ConfigurationInference.groups(widths)), "sample_size": 512,
      "scaling_factor": 0.18215,
      // VAEs with more latent channels have none.
      "use_quant_conv": .bool(hasQuantConv || latents == 4),
      "use_post_quant_conv": .bool(hasPostQuantConv || latents == 4),
    ]
  }
}
