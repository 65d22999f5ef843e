import ModelFormats

/// The `general.architecture` of a GGUF file, which decides if its tensors do not.
struct DeclaredArchitecture {
  /// The value in the file.
  let word: String
  /// The display name.
  let name: String
  /// The possible families, the usual one first.
  let ids: [String]
  let kind: Recognition.Kind

  /// The values written by converters.
  ///
  /// Source: ComfyUI-GGUF's `tools/convert.py`, stable-diffusion.cpp's `model.cpp`, llama.cpp's
  /// `gguf-py/gguf/constants.py`.
  private static let table: [DeclaredArchitecture] = [
    DeclaredArchitecture(
      word: "sd1", name: "Stable Diffusion 1.x",
      ids: ["sd1", "sd1-inpainting", "sd1-pix2pix", "sd1-lcm", "sd1-distilled"],
      kind: .stableDiffusion1),
    DeclaredArchitecture(
      word: "sd2", name: "Stable Diffusion 2.x",
      ids: ["sd2", "sd2-inpainting", "sd2-depth", "sd2-unclip"], kind: .stableDiffusion2),
    DeclaredArchitecture(
      word: "sdxl", name: "Stable Diffusion XL", ids: ["sdxl", "sdxl-inpainting", "sdxl-refiner"],
      kind: .stableDiffusionXL),
    DeclaredArchitecture(word: "svd", name: "Stable Video Diffusion", ids: ["svd"]),
    DeclaredArchitecture(word: "sd3", name: "Stable Diffusion 3", ids: ["sd3", "sd3.5"]),
    DeclaredArchitecture(
      word: "flux", name: "FLUX.1",
      ids: ["flux1-dev", "flux1-schnell", "flux1-fill", "flux1-control", "chroma", "flux2"]),
    DeclaredArchitecture(word: "flux2", name: "FLUX.2", ids: ["flux2"]),
    DeclaredArchitecture(word: "chroma", name: "Chroma", ids: ["chroma"]),
    DeclaredArchitecture(word: "qwen_image", name: "Qwen-Image", ids: ["qwen-image"]),
    DeclaredArchitecture(word: "z_image", name: "Z-Image", ids: ["z-image"]),
    DeclaredArchitecture(word: "lumina2", name: "Lumina 2", ids: ["lumina2", "z-image"]),
    DeclaredArchitecture(word: "wan", name: "Wan", ids: ["wan"]),
    DeclaredArchitecture(word: "hyvid", name: "Hunyuan Video", ids: ["hunyuan-video"]),
    DeclaredArchitecture(word: "ltxv", name: "LTX-Video", ids: ["ltx"]),
    DeclaredArchitecture(word: "pixart", name: "PixArt", ids: ["pixart"]),
    DeclaredArchitecture(word: "hidream", name: "HiDream-I1", ids: ["other"]),
    DeclaredArchitecture(word: "cosmos", name: "Cosmos", ids: ["other"]),
    DeclaredArchitecture(word: "aura", name: "AuraFlow", ids: ["other"]),
    DeclaredArchitecture(word: "t5", name: "T5", ids: ["t5"], kind: .textEncoder),
    DeclaredArchitecture(word: "t5encoder", name: "T5 encoder", ids: ["t5"], kind: .textEncoder),
    DeclaredArchitecture(word: "clip", name: "CLIP", ids: ["clip"], kind: .textEncoder),
  ]

  private init(
    word: String, name: String, ids: [String], kind: Recognition.Kind = .unknown
  ) {
    self.word = word
    self.name = name
    self.ids = ids
    self.kind = kind
  }

  /// The declared architecture; nil for other files and unknown values.
  init?(_ checkpoint: ModelCheckpoint) {
    guard case .file(.gguf) = checkpoint.layout,
      let word = checkpoint.components.lazy.flatMap(\.metadata).first(where: {
        $0.key == "general.architecture"
      })?.value,
      let row = DeclaredArchitecture.table.first(where: { $0.word == word.lowercased() })
    else { return nil }
    self = row
  }

  /// Combines the result from tensors with the declaration, which applies if the tensors prove
  /// nothing, and notes a contradiction.
  func weighed(with found: Recognition) -> Recognition {
    let isOther = found.family.id == "other"
    if isOther, found.kind == .unknown || kind == .textEncoder && found.kind == .textEncoder {
      // A language model is one, whatever model it encodes prompts for.
      guard found.kind == .unknown else { return found }
      return Recognition(
        kind, Recognition.FamilyName(id: ids[0], name: name), name,
        found.reasons + [
          "no tensor says which model it is; general.architecture does, and no tensor contradicts it"
        ])
    }
    let models = Set(DeclaredArchitecture.table.flatMap(\.ids)).subtracting(["other"])
    guard models.contains(found.family.id), !ids.contains(found.family.id),
      // Encoders are compatible with any model.
      !["clip", "t5"].contains(found.family.id)
    else { return found }
    return Recognition(
      found.kind, found.family, found.title,
      found.reasons + [
        "general.architecture (\(word), \(name)) contradicts the tensors, which decide"
      ], isDrawn: found.isDrawn)
  }
}
