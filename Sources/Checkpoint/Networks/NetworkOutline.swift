import ModelFormats
import ModelGraph
import OrderedJSON

/// The required tensors of a network without a graph: those of a related network with one, plus
/// additions.
///
/// These are the UNets of SDXL and unCLIP, with more embeddings than the timestep, CLIP text models
/// with a projection, and CLIP vision models.
struct NetworkOutline {
  /// A tensor that the related network lacks.
  private struct Addition {
    let name: String
    /// nil for unknown sizes.
    let shape: [Int?]
    let found: Tensor?
  }

  /// The comparison with the related network.
  private let manifest: Manifest
  private let additions: [Addition]
  /// The prefix of the related network's names, and the file's prefix in its place.
  private let prefixes: (relative: String, file: String)
  /// Parameters of the related network that this network lacks.
  private let excluded: Set<String>
  /// Whether this comparison covers the whole network.
  let isWhole: Bool

  /// - Returns: nil for networks with a graph, and without a related network.
  init?(_ component: Component) {
    guard component.manifest == nil, component.packed.isEmpty else { return nil }
    switch component.architecture {
    case NetworkDescriptor.unet.className: self.init(unet: component)
    case "CLIPTextModelWithProjection": self.init(text: component)
    case "CLIPVisionModel", "CLIPVisionModelWithProjection": self.init(vision: component)
    case nil, NetworkDescriptor.textEncoder.className:
      guard [.textEncoder, .secondTextEncoder].contains(component.name) else { return nil }
      self.init(text: component)
    default: return nil
    }
  }

  private init?(
    _ relative: Component, of component: Component, prefixes: (relative: String, file: String),
    isWhole: Bool, excluded: Set<String> = [],
    additions: (Manifest) -> [(name: String, shape: [Int?])]
  ) {
    guard let manifest = relative.manifest else { return nil }
    // Tensors with other names mean another kind of network.
    let found = manifest.parameters.count - manifest.missing.count
    guard 2 * found > manifest.parameters.count else { return nil }
    let names = component.tensors.map(component.bareName)
    let own = additions(manifest).map { name, shape in
      Addition(
        name: name, shape: shape,
        found: names.firstIndex(of: name).map { component.tensors[$0] })
    }
    // Without a configuration, tensors known to neither belong to another network.
    if component.configuration?.origin != .file {
      let known = Set(own.compactMap { $0.found?.name })
      guard
        !manifest.unexpected.contains(where: {
          Leftover.kind(of: $0.name) == .unknown && !known.contains($0.name)
        })
      else { return nil }
    }
    self.additions = own
    self.manifest = manifest
    self.prefixes = prefixes
    self.isWhole = isWhole
    self.excluded = excluded
  }

  // MARK: Networks

  /// The field that marks a related network's configuration; fields with this prefix do not change
  /// the network.
  static let mark = "_relative"

  /// UNet configuration fields for additional embeddings, and the embeddings' names.
  private static let embeddings: [(field: String, names: [String])] = [
    ("addition_embed_type", ["add_embedding.linear_1", "add_embedding.linear_2"]),
    ("class_embed_type", ["class_embedding.linear_1", "class_embedding.linear_2"]),
  ]

  /// A UNet's configuration without them.
  static func relative(_ configuration: Configuration) -> Configuration {
    var object = configuration.object
    for field in embeddings.map(\.field) + [
      "addition_time_embed_dim", "projection_class_embeddings_input_dim",
      "addition_embed_type_num_heads", "num_class_embeds",
    ] {
      object[field] = nil
    }
    object[mark] = true
    return Configuration(object: object, path: configuration.path, origin: configuration.origin)
  }

  private init?(unet component: Component) {
    guard let configuration = component.configuration else { return nil }
    let asked = NetworkOutline.embeddings.filter {
      configuration.object[$0.field].map { !$0.isNull } ?? false
    }
    guard !asked.isEmpty, !NetworkOutline.isReduced(component) else { return nil }
    let relative = component.relative(
      .unet, NetworkOutline.relative(configuration),
      names: component.tensors.map(component.bareName))
    self.init(relative, of: component, prefixes: ("", ""), isWhole: false) { manifest in
      let time = manifest["time_embedding.linear_2.bias"]?.shape.first
      let isSingle = manifest.naming?.family == .singleFile
      let names = isSingle ? ["label_emb.0.0", "label_emb.0.2"] : asked.flatMap(\.names)
      return names.flatMap { name -> [(name: String, shape: [Int?])] in
        let whole = (manifest.naming?.prefix ?? "") + name
        return [
          (whole + ".weight", [time, name.hasSuffix("2") ? time : nil]),
          (whole + ".bias", [time]),
        ]
      }
    }
  }

  /// Whether a UNet's middle is a single residual block, as in SSD-1B and Segmind-Vega, whose
  /// levels also differ in depth: no supported configuration matches them.
  private static func isReduced(_ component: Component) -> Bool {
    let text = NameText(component.tensors.lazy.map(component.bareName))
    func has(_ words: String...) -> Bool { words.contains(where: text.contains) }
    return has("mid_block.resnets.0.", "middle_block.0.")
      && !has(
        "mid_block.attentions.", "mid_block.resnets.1.", "middle_block.1.", "middle_block.2.")
  }

  /// What CLIP's text models have before their names, beside what ``NetworkDescriptor/namings`` knows.
  private static let textPrefixes = [
    "conditioner.embedders.1.model.", "conditioner.embedders.0.model.",
    "text_encoders.clip_g.transformer.", "text_encoder_2.", "",
  ]

  private init?(text component: Component) {
    let names = component.tensors.map(component.bareName)
    guard
      let prefix = NetworkOutline.textPrefixes.first(where: { prefix in
        names.contains { $0.hasPrefix(prefix) }
      })
    else { return nil }
    // OpenCLIP's own names are read in the form of Stable Diffusion 2 single files.
    let isOpenCLIP = names.contains { $0.hasPrefix(prefix + "transformer.resblocks.") }
    let place = isOpenCLIP ? NetworkDescriptor.openCLIP.prefix : ""
    let relative = component.relative(
      .textEncoder, component.configuration,
      names: names.map { $0.hasPrefix(prefix) ? place + $0.dropFirst(prefix.count) : $0 })
    let hasProjection =
      component.architecture == "CLIPTextModelWithProjection"
      || component.name == .secondTextEncoder
    self.init(relative, of: component, prefixes: (place, prefix), isWhole: true) { manifest in
      guard hasProjection else { return [] }
      let hidden = manifest["text_model.final_layer_norm.weight"]?.shape.first
      let size = component.configuration?.object["projection_dim"]?.int
      return isOpenCLIP
        ? [(prefix + "text_projection", [hidden, nil])]
        : [(prefix + "text_projection.weight", [size, hidden])]
    }
  }

  private init?(vision component: Component) {
    let names = component.tensors.map(component.bareName)
    let isNested = names.contains { $0.hasPrefix("vision_model.") }
    let hasProjection = component.architecture == "CLIPVisionModelWithProjection"
    // A safety checker is such a model plus concepts.
    let place = isNested ? "" : "vision_model."
    var tensors = zip(component.tensors, names).map { $0.renamed(place + $1) }
    let given = component.configuration?.object
    let width = given?["projection_dim"]?.int ?? 1
    if !hasProjection {
      let hidden = given?["hidden_size"]?.int ?? 1
      tensors.append(
        Tensor(
          name: "visual_projection.weight", dtype: .float32, shape: Shape([width, hidden]),
          storage: .memory([])))
    }
    var configuration: Configuration?
    if let given, let component = component.configuration {
      configuration = Configuration(
        object: [
          "architectures": [.string(NetworkDescriptor.safetyChecker.className)],
          "projection_dim": .integer(width), "vision_config": .object(given),
        ], path: component.path)
    } else {
      configuration = ConfigurationInference.configuration(
        of: .safetyChecker, tensors, path: component.path)
    }
    guard let configuration else { return nil }
    let relative = Component(
      name: .safetyChecker, architecture: nil, configuration: configuration,
      path: component.path, format: component.format, tensors: tensors,
      bareNames: tensors.map(\.name))
    self.init(
      relative, of: component, prefixes: (place, ""), isWhole: true,
      excluded: [
        "concept_embeds", "special_care_embeds", "concept_embeds_weights",
        "special_care_embeds_weights",
      ]
    ) { _ in [] }
  }

  // MARK: Results

  /// The number of tensors of the network that are present.
  var foundCount: Int {
    manifest.parameters.count - manifest.missing.count + additions.count { $0.found != nil }
  }

  /// The missing tensors by their names in the file, with their shapes if known.
  var missing: [(name: String, shape: [Int])] {
    manifest.missing.filter { !excluded.contains($0.name) }
      .map { (fileName($0), manifest.naming?.shape(of: $0) ?? $0.shape) }
      + additions.filter { $0.found == nil }.map { ($0.name, $0.shape.compactMap { $0 }) }
  }

  private func fileName(_ parameter: Parameter) -> String {
    let name = manifest.fileName(parameter)
    return name.hasPrefix(prefixes.relative)
      ? prefixes.file + name.dropFirst(prefixes.relative.count) : name
  }

  /// One sentence per missing or misshapen tensor, or one for many of a kind.
  var problems: [String] {
    let lost = missing
    let shapes =
      manifest.wrongShape.map { misfit in
        "\(misfit.tensor.name) has the shape \(misfit.tensor.shape), not "
          + "\(Shape(misfit.parameter.shape))"
      }
      + additions.compactMap { addition -> String? in
        guard let sizes = addition.found?.shape.dimensions,
          sizes.count != addition.shape.count
            || !zip(sizes, addition.shape).allSatisfy({ $1 == nil || $0 == $1 })
        else { return nil }
        return "\(addition.name) has the shape \(Shape(sizes))"
      }
    return
      (lost.count > 4
      ? ["\(lost.count) tensors are missing: \(Leftover.shown(lost.map(\.name)))"]
      : lost.map { "\($0.name) is missing" })
      + shapes.prefix(4)
      + (shapes.count > 4 ? ["\(shapes.count - 4) more tensors have another shape"] : [])
  }

  /// Tensors of neither the related network nor this one.
  func unknown(_ component: Component) -> [Tensor] {
    let known = Set(additions.compactMap(\.found).map(\.name))
    let unexpected = Set(manifest.unexpected.map(\.name))
    return component.tensors.filter { unexpected.contains($0.name) && !known.contains($0.name) }
  }
}

extension ModelCheckpoint {
  /// Whether a component is the only network, and may be one half of a VAE.
  func isAlone(_ component: Component) -> Bool {
    component.format == .onnx
      || components.count { $0.name != .other && $0.name.averaged == nil } == 1
  }
}

extension Component {
  /// The required tensors of a network without a graph.
  var outline: NetworkOutline? { NetworkOutline(self) }

  /// The missing tensors by their names in the file, with shapes.
  ///
  /// - Parameter isAlone: whether there is no other network; then half a VAE counts as complete.
  func gaps(isAlone: Bool) -> [(name: String, shape: [Int])] {
    guard let manifest else { return outline?.missing ?? [] }
    guard !manifest.missing.isEmpty, !isAlone || half == nil else { return [] }
    return manifest.missing.map {
      (manifest.fileName($0), manifest.naming?.shape(of: $0) ?? $0.shape)
    }
  }

  /// The tensors as another network under other bare names, with an inferred configuration if none
  /// is given.
  fileprivate func relative(
    _ network: NetworkDescriptor, _ configuration: Configuration?, names: [String]
  ) -> Component {
    let known =
      configuration
      ?? ConfigurationInference.configuration(
        of: network, zip(tensors, names).map { $0.renamed($1) }, path: path)
    return Component(
      name: name == .secondTextEncoder ? .textEncoder : name,
      architecture: network.className, configuration: known, path: path, format: format,
      tensors: tensors, bareNames: names)
  }
}
