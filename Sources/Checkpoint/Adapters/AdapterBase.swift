import ModelFormats

/// The base model of an adapter, from the names and shapes of its layers, otherwise from its
/// metadata.
struct AdapterBase {
  /// For example "Stable Diffusion 1.x"; nil if unknown.
  private(set) var family: String?
  /// The ids of the model families it works with, such as `flux1-dev`.
  private(set) var ids: [String] = []
  /// The evidence, as a reason.
  private(set) var because: String?
  /// The name of the denoiser: UNet or transformer.
  private(set) var denoiser = "UNet"
  /// The number of layers per network, in file order.
  private(set) var networks: [(title: String, layers: Int)] = []

  /// A family with networks that adapters cannot be applied to here.
  struct Other {
    let family: String
    let methods: String

    /// - Parameter error: the error for a layer with a known name but a wrong shape, if any.
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
    let rows = Family.all.filter { $0.adapter != nil }
    let told = rows.lazy.compactMap { row in
      row.adapter?.proof(inner, layers).map { (row, $0) }
    }.first
    let written = Self.written(in: metadata)
    var row = told?.0 ?? written?.row
    because = told?.1 ?? written?.because
    if let told, let written, told.0.adapter?.alike.contains(written.row.id) ?? false {
      row = written.row
      because = written.because
    }
    if let row, let mark = row.adapter {
      let name = mark.name ?? row.name
      family = name
      ids = mark.ids.isEmpty ? [row.id] : mark.ids
      denoiser = row.part == .transformer || row.part == nil ? "transformer" : "UNet"
      if !row.isDrawn { otherFamily = Other(family: name, methods: contents.title) }
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

  /// The family in the trainer's metadata.
  private static func written(
    in metadata: [(key: String, value: String)]
  ) -> (row: Family, because: String)? {
    func value(_ key: String) -> String? { metadata.first { $0.key == key }?.value }
    for key in ["modelspec.architecture", "ss_base_model_version"] {
      guard let value = value(key) else { continue }
      let word = value.lowercased()
      // The longest word is the most specific one.
      let found = Family.all.flatMap { row in (row.adapter?.words ?? []).map { (row, $0) } }
        .filter { word.hasPrefix($0.1) }.max { $0.1.count < $1.1.count }
      if let found { return (found.0, "metadata: \(key) \(value)") }
    }
    guard value("ss_v2")?.lowercased() == "true",
      let row = Family.all.first(where: { $0.id == "sd2" && $0.adapter != nil })
    else { return nil }
    return (row, "metadata: ss_v2 True")
  }

  /// The location of a layer in a model.
  struct Place {
    /// For example "text encoder"; nil for the denoiser.
    let network: String?
    /// The layer's name in its network, with underscores instead of dots.
    let path: String

    private static let prefixes: [(prefix: String, network: String?)] = [
      ("base_model.model.", nil), ("lora_unet_", nil), ("oft_unet_", nil), ("unet.", nil),
      ("lora_transformer_", nil), ("transformer.", nil), ("model.diffusion_model.", nil),
      ("diffusion_model.", nil),
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
      // PEFT's wrapper precedes another prefix.
      for _ in 0..<2 {
        guard let found = Self.prefixes.first(where: { rest.hasPrefix($0.prefix) }) else { break }
        network = found.network ?? network
        if found.prefix != "text_model." { rest = rest.dropFirst(found.prefix.count) }
        if network != nil { break }
      }
      // Attention processors used to be between a layer and its projections.
      path = String(rest).replacing(".processor.", with: ".").replacing(".", with: "_")
      // CLIP's text model, with or without its own name before its layers.
      if network == nil, ["text_model_", "encoder_layers_"].contains(where: path.hasPrefix) {
        network = "text encoder"
      }
      self.network = network
    }
  }
}
