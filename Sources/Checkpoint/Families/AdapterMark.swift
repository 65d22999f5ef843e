import ModelFormats

/// How adapters for a model family are recognized: by the names and shapes of their layers,
/// otherwise by the trainer's metadata. Part of a ``Family`` row.
struct AdapterMark: Sendable {
  typealias Layer = (layer: AdapterLayer, place: AdapterBase.Place)
  typealias Proof = @Sendable (_ inner: [Layer], _ all: [Layer]) -> String?

  /// The name of the models for these adapters; nil for the row's name.
  let name: String?
  /// The ids of the families that they work with; empty for the row's id.
  let ids: [String]
  /// Prefixes of `ss_base_model_version` and `modelspec.architecture`, in lower case.
  let words: [String]
  /// Ids of families with identical layers: the trainer's metadata decides between them.
  let alike: Set<String>
  /// Proves that the layers belong to this family, from those of the denoiser and from all.
  let proof: Proof

  init(
    _ name: String? = nil, ids: [String] = [], words: [String] = [], alike: Set<String> = [],
    _ proof: @escaping Proof
  ) {
    self.name = name
    self.ids = ids
    self.words = words
    self.alike = alike
    self.proof = proof
  }

  // MARK: Proofs

  static func shown(_ layer: Layer) -> String {
    layer.layer.first?.shown ?? layer.layer.name
  }

  static func containing(_ parts: [String], _ layers: [Layer]) -> String? {
    layers.first { layer in parts.contains { layer.place.path.contains($0) } }.map(shown)
  }

  /// A layer with one of these names and this number of inputs or outputs.
  static func sized(
    _ width: Int, _ parts: [String], _ layers: [Layer], lacks: String? = nil
  ) -> String? {
    layers.first { layer in
      let path = layer.place.path
      let size = layer.layer.size
      return parts.contains(where: path.hasPrefix)
        && (size.inputs == width || size.outputs == width)
        && lacks.map { !path.contains($0) } ?? true
    }.map(shown)
  }

  /// A layer in a block whose number is beyond those of other families with these names.
  static func numbered(
    _ begin: String, from first: Int, _ layers: [Layer], lacks: String? = nil
  ) -> String? {
    layers.first { layer in
      let path = layer.place.path
      guard path.hasPrefix(begin) else { return false }
      let number = Int(path.dropFirst(begin.count).prefix { $0.isNumber }) ?? 0
      return number >= first && lacks.map { !path.contains($0) } ?? true
    }.map { "\(shown($0)): more blocks than others have" }
  }

  /// A layer with one of these names whose outputs are this multiple of its inputs.
  static func ratio(_ ratio: Int, _ parts: [String], _ layers: [Layer]) -> String? {
    layers.first { layer in
      guard let inputs = layer.layer.size.inputs, let outputs = layer.layer.size.outputs,
        inputs > 0, outputs % inputs == 0
      else { return false }
      return outputs / inputs == ratio && parts.contains { layer.place.path.contains($0) }
    }.map(shown)
  }

  static func isUNet(_ layer: Layer) -> Bool {
    let path = layer.place.path
    return [
      "down_blocks_", "up_blocks_", "mid_block_", "input_blocks_", "output_blocks_",
      "middle_block_",
    ].contains(where: path.hasPrefix)
  }

  /// Whether a layer belongs to a second transformer block of one attention.
  static func isDeep(_ path: String) -> Bool {
    guard let range = path.firstRange(of: "transformer_blocks_") else { return false }
    let number = path[range.upperBound...].prefix { $0.isNumber }
    return (Int(number) ?? 0) > 0
  }

  /// The layers that read prompts have this many inputs.
  static func prompts(_ width: Int, _ layers: [Layer]) -> String? {
    layers.first { layer in
      let path = layer.place.path
      return isUNet(layer) && (path.contains("attn2_to_k") || path.contains("attn2_to_v"))
        && layer.layer.size.inputs == width
    }.map { "\(shown($0)): cross_attention_dim \(width)" }
  }

  /// Only Stable Diffusion 1.x has convolutions before and after its transformers.
  static func projection(_ layers: [Layer]) -> String? {
    layers.first { layer in
      let path = layer.place.path
      return isUNet(layer) && (path.hasSuffix("proj_in") || path.hasSuffix("proj_out"))
        && (layer.layer.size.outputs ?? 1) % 320 == 0
        && layer.layer[.down].map { $0.shape.rank == 4 } ?? false
    }.map { "\(shown($0)): a convolution" }
  }

  static func text(_ width: Int, _ layers: [Layer]) -> String? {
    guard !layers.isEmpty, layers.allSatisfy({ $0.place.network == "text encoder" }) else {
      return nil
    }
    return layers.first { layer in
      ["q_proj", "k_proj", "v_proj"].contains(where: layer.layer.name.hasSuffix)
        && (layer.layer.size.inputs == width || layer.layer.size.outputs == width)
    }.map { "\(shown($0)): a text encoder \(width) wide" }
  }
}

// MARK: - Marks of the rows

extension AdapterMark {
  static let motion = AdapterMark("AnimateDiff") { inner, _ in containing(["motion_modules"], inner)
  }

  static let chroma = AdapterMark(words: ["chroma"]) { inner, _ in
    containing(["distilled_guidance_layer"], inner)
  }

  static let flux2 = AdapterMark(words: ["flux-2", "flux2"]) { inner, _ in
    containing(["double_stream_modulation", "single_stream_modulation", "to_qkv_mlp"], inner)
      ?? sized(6144, ["double_blocks_", "single_blocks_", "transformer_blocks_"], inner)
      ?? sized(4096, ["double_blocks_", "single_blocks_"], inner)
      // A gated layer has two halves; FLUX.1's layers have one.
      ?? ratio(9, ["single_blocks_"], inner).map { "\($0): a gated layer" }
      ?? ratio(6, ["img_mlp_0", "txt_mlp_0"], inner).map { "\($0): a gated layer" }
  }

  static let hunyuanVideo = AdapterMark(words: ["hunyuan"]) { inner, _ in
    containing(
      ["individual_token_refiner", "context_embedder_token_refiner", "img_mlp_fc1", "txt_mlp_fc1"],
      inner)
      ?? inner.first { $0.layer.name.contains("blocks.") && $0.layer.name.contains("_attn_qkv") }
      .map(shown)
      // FLUX.1 has 19 and 38.
      ?? numbered("double_blocks_", from: 19, inner) ?? numbered("single_blocks_", from: 38, inner)
      ?? numbered("single_transformer_blocks_", from: 38, inner)
  }

  static let qwenImage = AdapterMark(words: ["qwen"]) { inner, _ in
    // FLUX.1 also has `img_mod`, in other blocks.
    containing(
      ["img_mod_", "img_mlp_net", "txt_mlp_net"],
      inner.filter { $0.place.path.hasPrefix("transformer_blocks_") })
      // FLUX.1 has 19 double-stream blocks, HunyuanVideo 20, Qwen-Image 60.
      ?? (sized(3072, ["transformer_blocks_"], inner, lacks: "_attn1_") == nil
        ? nil : numbered("transformer_blocks_", from: 20, inner, lacks: "_attn1_"))
  }

  static let zImage = AdapterMark(words: ["z-image", "zimage"]) { inner, _ in
    sized(3840, ["layers_", "noise_refiner_", "context_refiner_"], inner)
  }

  static let lumina2 = AdapterMark(words: ["lumina"]) { inner, _ in
    containing(["noise_refiner_", "context_refiner_"], inner) ?? sized(2304, ["layers_"], inner)
  }

  static let wan = AdapterMark(words: ["wan"]) { inner, _ in
    inner.first { layer in
      layer.place.path.hasPrefix("blocks_")
        && ["_self_attn_", "_cross_attn_", "_attn1_", "_attn2_", "_ffn_"].contains {
          layer.place.path.contains($0)
        }
    }.map { shown($0) }
  }

  static let ltx = AdapterMark(words: ["ltx"]) { inner, _ in
    sized(2048, ["transformer_blocks_"], inner) ?? sized(4096, ["transformer_blocks_"], inner)
  }

  static let pixArt = AdapterMark(words: ["pixart"]) { inner, _ in
    sized(1152, ["transformer_blocks_"], inner)
  }

  static let sd35 = AdapterMark(
    "Stable Diffusion 3.5 Large", words: ["stable-diffusion-3-5-large", "sd3.5-large"]
  ) { inner, _ in sized(2432, ["joint_blocks_", "transformer_blocks_"], inner) }

  static let sd3 = AdapterMark(
    ids: ["sd3", "sd3.5"], words: ["stable-diffusion-3", "stable-diffusion-v3", "sd3"]
  ) { inner, _ in
    containing(["joint_blocks_"], inner)
      ?? sized(1536, ["transformer_blocks_"], inner, lacks: "_attn1_")
  }

  /// A LoRA that also widens the patch input layer.
  static let flux1Control = AdapterMark("FLUX.1 (Depth or Canny)", ids: ["flux1-dev"]) { inner, _ in
    sized(128, ["img_in", "x_embedder"], inner).map { "\($0): a control image goes in too" }
  }

  static let flux1 = AdapterMark(
    "FLUX.1", ids: ["flux1-dev", "flux1-schnell"], words: ["flux"],
    alike: ["chroma", "hunyuan-video", "qwen-image"]
  ) { inner, _ in
    containing(["double_blocks_", "single_blocks_", "single_transformer_blocks_"], inner)
      ?? sized(3072, ["transformer_blocks_"], inner, lacks: "_attn1_")
  }

  static let sdxl = AdapterMark(
    ids: ["sdxl", "sdxl-inpainting"], words: ["sdxl", "stable-diffusion-xl"]
  ) { inner, layers in
    prompts(2048, inner)
      ?? inner.first { isUNet($0) && isDeep($0.place.path) }.map {
        "\($0.layer.name): more than one transformer block of an attention"
      }
      ?? (prompts(768, inner) == nil && prompts(1024, inner) == nil ? layers : []).first {
        $0.place.network == "second text encoder" || $0.layer.name.hasPrefix("lora_te1_")
      }.map { "\($0.layer.name): one of two text encoders" }
  }

  static let sdxlRefiner = AdapterMark("the refiner of Stable Diffusion XL") { inner, _ in
    prompts(1280, inner)
  }

  static let sd1 = AdapterMark(words: ["sd_v1", "sd_1", "sd1", "sd15", "stable-diffusion-v1"]) {
    inner, layers in prompts(768, inner) ?? projection(inner) ?? text(768, layers)
  }

  static let sd2 = AdapterMark(words: ["sd_v2", "sd_2", "sd2", "sd21", "stable-diffusion-v2"]) {
    inner, layers in prompts(1024, inner) ?? text(1024, layers)
  }

  /// The widths of their levels, and attention where SDXL has none.
  static let sd1OrSD2 = AdapterMark("Stable Diffusion 1.x or 2.x", ids: ["sd1", "sd2"]) {
    inner, _ in
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
  }

  static let anyTransformer = AdapterMark("a diffusion transformer") { inner, _ in
    inner.first { layer in
      ["transformer_blocks_", "joint_transformer_blocks_", "double_stream_blocks_"]
        .contains(where: layer.place.path.hasPrefix)
    }.map { shown($0) }
  }
}
