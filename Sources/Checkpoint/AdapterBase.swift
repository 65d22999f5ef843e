import ModelFormats

/// The kind of model that an adapter is for, by the names and shapes of its layers, else by what its
/// trainer wrote beside them.
struct AdapterBase {
  /// As in "Stable Diffusion 1.x"; nil where nothing tells.
  private(set) var family: String?
  /// What tells it, as a reason.
  private(set) var because: String?
  /// What the network that removes noise is called: UNet or transformer.
  private(set) var denoiser = "UNet"
  /// How many layers of each network the file has, in the order of the file.
  private(set) var networks: [(title: String, layers: Int)] = []

  /// A family that has other networks than the models that adapters are applied to.
  struct Other {
    let family: String
    let methods: String

    /// - Parameter error: of a layer whose shape does not fit, where one has the name of a layer.
    func refusal(_ count: Int, _ titles: String, because error: FormatError?) -> FormatError {
      FormatError(
        .mismatch,
        "this \(methods) is for \(family)"
          + (error.map { "; \($0.message)" } ?? ": not all of its \(count) tensors fit \(titles)"),
        context: error?.context, hint: "give one for Stable Diffusion 1.x or 2.x")
    }
  }

  private(set) var otherFamily: Other?

  init(_ contents: AdapterContents, metadata: [(key: String, value: String)]) {
    let layers = contents.known.map { (layer: $0, place: Place($0.name)) }
    let inner = layers.filter { $0.place.network == nil }
    let told = AdapterFamily.all.lazy.compactMap { family in
      family.mark(inner, layers).map { (family, $0) }
    }.first
    if let (known, reason) = told {
      family = known.name
      because = reason
      denoiser = known.denoiser
    }
    let written = AdapterFamily.named(in: metadata)
    if family == nil, let written {
      family = written.family.name
      denoiser = written.family.denoiser
      because = written.because
    }
    if told?.0.isOther ?? written?.family.isOther ?? false, let family {
      otherFamily = Other(family: family, methods: contents.title)
    }
    for (_, place) in layers {
      let title = place.network ?? denoiser
      if let index = networks.firstIndex(where: { $0.title == title }) {
        networks[index].layers += 1
      } else {
        networks.append((title, 1))
      }
    }
  }

  /// Where in a model a layer is.
  struct Place {
    /// As in "text encoder"; nil of the network that removes noise.
    let network: String?
    /// The layer's name in its network, full stops as underscores.
    let path: String

    private static let prefixes: [(prefix: String, network: String?)] = [
      ("base_model.model.", nil), ("lora_unet_", nil), ("oft_unet_", nil), ("unet.", nil),
      ("lora_transformer_", nil),
      ("transformer.", nil), ("model.diffusion_model.", nil), ("diffusion_model.", nil),
      ("lycoris_text_model_", "text encoder"), ("lycoris_", nil), ("lora_te_", "text encoder"),
      ("lora_te1_", "text encoder"), ("lora_te2_", "second text encoder"),
      ("lora_te3_", "third text encoder"), ("text_encoder.", "text encoder"),
      ("text_encoder_2.", "second text encoder"), ("text_encoder_3.", "third text encoder"),
      ("text_encoders.clip_l.", "text encoder"), ("text_encoders.clip_g.", "second text encoder"),
      ("text_encoders.t5xxl.", "T5 text encoder"), ("text_encoders.", "text encoder"),
      ("clip_l.", "text encoder"), ("clip_g.", "second text encoder"),
      ("text_model.", "text encoder"), ("te.", "text encoder"), ("lora_vae_", "VAE"),
      ("vae.", "VAE"), ("first_stage_model.", "VAE"), ("lora_prior_unet_", nil),
      ("lora_controlnet_", "ControlNet"),
    ]

    init(_ name: String) {
      var rest = name[...]
      var network: String?
      // PEFT's wrapper stands before another prefix.
      for _ in 0..<2 {
        guard let found = Self.prefixes.first(where: { rest.hasPrefix($0.prefix) }) else { break }
        network = found.network ?? network
        if found.prefix != "text_model." { rest = rest.dropFirst(found.prefix.count) }
        if network != nil { break }
      }
      // Processors of attention stood between a layer and its projections.
      path = String(rest).replacing(".processor.", with: ".").replacing(".", with: "_")
      // CLIP's text model, with its own name before its layers and without.
      if network == nil, ["text_model_", "encoder_layers_"].contains(where: path.hasPrefix) {
        network = "text encoder"
      }
      self.network = network
    }
  }
}

/// A family of models as adapters' names and metadata tell it.
struct AdapterFamily: Sendable {
  typealias Layer = (layer: AdapterLayer, place: AdapterBase.Place)

  let name: String
  var denoiser = "transformer"
  /// Whether it has other networks than the models that adapters are applied to.
  var isOther = true
  /// Beginnings of `ss_base_model_version` and `modelspec.architecture`, in lower case.
  var words: [String] = []
  /// Why the layers are of this family: those of the network that removes noise, and all.
  let mark: @Sendable ([Layer], [Layer]) -> String?

  /// Specific ones first.
  static let all: [AdapterFamily] = [
    named("AnimateDiff", "UNet", ["motion_modules"]),
    AdapterFamily(name: "FLUX.2", words: ["flux-2", "flux2"]) { inner, _ in
      containing(["double_stream_modulation", "single_stream_modulation", "to_qkv_mlp"], inner)
        ?? sized(6144, ["double_blocks_", "single_blocks_", "transformer_blocks_"], inner)
    },
    named("Chroma", "transformer", ["distilled_guidance_layer"], words: ["chroma"]),
    AdapterFamily(
      name: "Stable Diffusion 3.5 Large", words: ["stable-diffusion-3-5-large", "sd3.5-large"]
    ) { inner, _ in sized(2432, ["joint_blocks_", "transformer_blocks_"], inner) },
    AdapterFamily(
      name: "Stable Diffusion 3", words: ["stable-diffusion-3", "stable-diffusion-v3", "sd3"]
    ) { inner, _ in
      containing(["joint_blocks_"], inner)
        ?? sized(1536, ["transformer_blocks_"], inner)
    },
    named(
      "HunyuanVideo", "transformer",
      ["individual_token_refiner", "context_embedder_token_refiner", "img_mlp_fc1", "txt_mlp_fc1"],
      words: ["hunyuan"]),
    named(
      "Qwen-Image", "transformer", ["img_mod_", "img_mlp_net", "txt_mlp_net"], words: ["qwen"]),
    AdapterFamily(name: "FLUX.1", words: ["flux"]) { inner, _ in
      containing(["double_blocks_", "single_blocks_", "single_transformer_blocks_"], inner)
        ?? sized(3072, ["transformer_blocks_"], inner)
    },
    AdapterFamily(name: "Z-Image", words: ["z-image", "zimage"]) { inner, _ in
      sized(3840, ["layers_", "noise_refiner_", "context_refiner_"], inner)
    },
    AdapterFamily(name: "Lumina Image 2.0", words: ["lumina"]) { inner, _ in
      containing(["noise_refiner_", "context_refiner_"], inner)
        ?? sized(2304, ["layers_"], inner)
    },
    AdapterFamily(name: "Wan", words: ["wan"]) { inner, _ in
      inner.first { layer in
        layer.place.path.hasPrefix("blocks_")
          && ["_self_attn_", "_cross_attn_", "_attn1_", "_attn2_", "_ffn_"].contains {
            layer.place.path.contains($0)
          }
      }.map { shown($0) }
    },
    AdapterFamily(name: "PixArt", words: ["pixart"]) { inner, _ in
      sized(1152, ["transformer_blocks_"], inner)
    },
    AdapterFamily(name: "LTX-Video", words: ["ltx"]) { inner, _ in
      sized(2048, ["transformer_blocks_"], inner) ?? sized(4096, ["transformer_blocks_"], inner)
    },
    AdapterFamily(name: "a diffusion transformer") { inner, _ in
      inner.first { $0.place.path.hasPrefix("transformer_blocks_") }.map { shown($0) }
    },
    AdapterFamily(
      name: "Stable Diffusion XL", denoiser: "UNet", words: ["sdxl", "stable-diffusion-xl"]
    ) { inner, layers in
      prompts(2048, inner)
        ?? inner.first { isUNet($0) && isDeep($0.place.path) }.map {
          "\($0.layer.name): more than one transformer block of an attention"
        }
        ?? (prompts(768, inner) == nil && prompts(1024, inner) == nil ? layers : []).first {
          $0.place.network == "second text encoder" || $0.layer.name.hasPrefix("lora_te1_")
        }.map { "\($0.layer.name): one of two text encoders" }
    },
    AdapterFamily(name: "the refiner of Stable Diffusion XL", denoiser: "UNet") { inner, _ in
      prompts(1280, inner)
    },
    AdapterFamily(
      name: "Stable Diffusion 1.x", denoiser: "UNet", isOther: false,
      words: ["sd_v1", "sd_1", "sd1", "sd15", "stable-diffusion-v1"]
    ) { inner, layers in
      prompts(768, inner) ?? projection(inner) ?? text(768, layers)
    },
    AdapterFamily(
      name: "Stable Diffusion 2.x", denoiser: "UNet", isOther: false,
      words: ["sd_v2", "sd_2", "sd2", "sd21", "stable-diffusion-v2"]
    ) { inner, layers in
      prompts(1024, inner) ?? text(1024, layers)
    },
    AdapterFamily(
      name: "Stable Diffusion 1.x or 2.x", denoiser: "UNet", isOther: false
    ) { inner, _ in
      // The widths of their levels, and attention where SDXL has none.
      inner.first {
        let path = $0.place.path
        let places = [
          "down_blocks_0_attentions_", "up_blocks_3_attentions_", "input_blocks_1_1_",
          "output_blocks_9_1_", "output_blocks_11_1_",
        ]
        let sizes = $0.layer.all.flatMap(\.shape.dimensions)
        let isWide = sizes.contains { $0 > 0 && $0 % 320 == 0 }
        return places.contains(where: path.hasPrefix)
          && (isWide || ($0.layer.size.outputs ?? 1) % 320 == 0)
      }.map { "\($0.layer.name): an attention that only these have" }
    },
  ]

  /// A family that names alone tell.
  private static func named(
    _ name: String, _ denoiser: String, _ parts: [String], words: [String] = []
  ) -> AdapterFamily {
    AdapterFamily(name: name, denoiser: denoiser, words: words) { inner, _ in
      containing(parts, inner)
    }
  }

  private static func shown(_ layer: Layer) -> String {
    layer.layer.first?.shown ?? layer.layer.name
  }

  private static func containing(_ parts: [String], _ layers: [Layer]) -> String? {
    layers.first { layer in parts.contains { layer.place.path.contains($0) } }.map(shown)
  }

  /// A layer of such a name with that many inputs or outputs.
  private static func sized(
    _ width: Int, _ parts: [String], _ layers: [Layer]
  ) -> String? {
    layers.first { layer in
      let path = layer.place.path
      let size = layer.layer.size
      return parts.contains(where: path.hasPrefix)
        && (size.inputs == width || size.outputs == width)
    }.map(shown)
  }

  private static func isUNet(_ layer: Layer) -> Bool {
    let path = layer.place.path
    return [
      "down_blocks_", "up_blocks_", "mid_block_", "input_blocks_", "output_blocks_",
      "middle_block_",
    ].contains(where: path.hasPrefix)
  }

  /// Whether a layer is of a second transformer block of one attention.
  private static func isDeep(_ path: String) -> Bool {
    guard let range = path.firstRange(of: "transformer_blocks_") else { return false }
    let number = path[range.upperBound...].prefix { $0.isNumber }
    return (Int(number) ?? 0) > 0
  }

  /// The layers that read prompts take so many numbers.
  private static func prompts(_ width: Int, _ layers: [Layer]) -> String? {
    layers.first { layer in
      let path = layer.place.path
      return isUNet(layer) && (path.contains("attn2_to_k") || path.contains("attn2_to_v"))
        && layer.layer.size.inputs == width
    }.map { "\(shown($0)): cross_attention_dim \(width)" }
  }

  /// Only Stable Diffusion 1.x has convolutions before and after its transformers.
  private static func projection(_ layers: [Layer]) -> String? {
    layers.first { layer in
      let path = layer.place.path
      return isUNet(layer) && (path.hasSuffix("proj_in") || path.hasSuffix("proj_out"))
        && (layer.layer.size.outputs ?? 1) % 320 == 0
        && layer.layer[.down].map { $0.shape.rank == 4 } ?? false
    }.map { "\(shown($0)): a convolution" }
  }

  private static func text(_ width: Int, _ layers: [Layer]) -> String? {
    guard !layers.isEmpty, layers.allSatisfy({ $0.place.network == "text encoder" }) else {
      return nil
    }
    return layers.first { layer in
      ["q_proj", "k_proj", "v_proj"].contains(where: layer.layer.name.hasSuffix)
        && (layer.layer.size.inputs == width || layer.layer.size.outputs == width)
    }.map { "\(shown($0)): a text encoder \(width) wide" }
  }

  /// The family that a trainer wrote down.
  static func named(
    in metadata: [(key: String, value: String)]
  ) -> (family: AdapterFamily, because: String)? {
    func value(_ key: String) -> String? { metadata.first { $0.key == key }?.value }
    for key in ["modelspec.architecture", "ss_base_model_version"] {
      guard let value = value(key) else { continue }
      let word = value.lowercased()
      // The longest word is the most specific one.
      let found = all.flatMap { family in family.words.map { (family, $0) } }
        .filter { word.hasPrefix($0.1) }.max { $0.1.count < $1.1.count }
      if let found { return (found.0, "metadata: \(key) \(value)") }
    }
    guard value("ss_v2")?.lowercased() == "true",
      let family = all.first(where: { $0.name == "Stable Diffusion 2.x" })
    else { return nil }
    return (family, "metadata: ss_v2 True")
  }
}
