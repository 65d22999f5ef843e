import ModelFormats
import OrderedJSON

/// The components of files that ``SingleFileLayout`` does not know: splits tensors into networks by
/// the table of families.
enum FamilyLayout {
  /// The components found by single-file prefixes, with the names of this file's family, and
  /// networks among the remaining tensors.
  static func refined(_ components: [Component]) -> [Component] {
    let family = main(of: components)
    var refined: [Component] = []
    let taken = Set(components.map(\.name))
    for component in components {
      switch component.name {
      case .unet where family?.part == .transformer:
        refined.append(component.renamed(.transformer, family?.classes.first, nil))
      case .unet where family?.id == "svd":
        refined.append(component.renamed(.unet, family?.classes.first, nil))
      case .textEncoder, .other:
        let parts = carved(component, family?.parts ?? [], taken: taken)
        for part in parts {
          if let place = refined.firstIndex(where: { $0.name == part.name }) {
            // One network may have two prefixes.
            refined[place] = refined[place].joined(with: part)
          } else {
            refined.append(part)
          }
        }
      default: refined.append(component)
      }
    }
    // Tensors of no network come last.
    return refined.filter { $0.name != .other } + refined.filter { $0.name == .other }
  }

  /// The components of a file with one network without a prefix, a few, or none with a graph; nil
  /// if no family has such names.
  ///
  /// - Parameter bare: the file's bare names.
  static func components(of file: TensorFile, _ bare: BareNames) -> [Component]? {
    let rows = Family.all.filter { row in
      (row.part != nil || !row.parts.isEmpty) && !isKnown(row)
    }
    let bareNames = bare.namesOfWeights(file.tensors)
    let views = FamilyShapes.views(of: zip(file.tensors, bareNames).map { $0.renamed($1) })
    for row in rows {
      guard let view = views.first(where: { row.proof($0) != nil }) else { continue }
      let base = row.title(view).title
      return split(file.tensors, bareNames, row, prefix: view.prefix) { name, tensors, names in
        let isMain = name == row.part
        let architecture =
          isMain
          ? self.architecture(row, base)
          : name == .imageEncoder ? NetworkDescriptor.imageEncoder.className : nil
        // OpenCLIP's own names are read if a single file has them.
        let isJoined = tensors.contains { $0.name.hasSuffix(".attn.in_proj_weight") }
        let known = isJoined ? nil : NetworkDescriptor(className: architecture)
        return Component(
          name: name,
          architecture: architecture,
          configuration: known.flatMap {
            ConfigurationInference.configuration(
              of: $0, zip(tensors, names).map { $0.renamed($1) }, path: file.path)
          },
          path: file.path, files: file.files, format: file.format, metadata: file.metadata,
          tensors: tensors, bareNames: names)
      }
    }
    return nil
  }

  /// The component of a directory whose configuration has a class in the table; nil for others.
  static func name(ofClass name: String?) -> ComponentName? {
    guard let name else { return nil }
    return Family.all.first { $0.classes.contains(name) && $0.part != nil && $0.part != .unet }?
      .part
  }

  /// Splits the component of a directory with several networks, such as a complete CLIP.
  static func parts(of component: Component) -> [Component] {
    let views = FamilyShapes.views(of: component.bareTensors)
    let rows = Family.encoders.filter { !$0.parts.isEmpty }
    guard let row = rows.first(where: { row in views.contains { row.proof($0) != nil } }) else {
      return [component]
    }
    let bareNames = component.tensors.map(component.bareName)
    return split(component.tensors, bareNames, row, prefix: "") { name, tensors, names in
      let known = NetworkDescriptor(component: name)
      let configuration = known.flatMap { network in
        component.configuration?.part(network)
          ?? ConfigurationInference.configuration(
            of: network, zip(tensors, names).map { $0.renamed($1) }, path: component.path)
      }
      return component.renamed(
        name, name == .imageEncoder ? known?.className : nil, configuration, tensors: tensors)
    }
  }

  // MARK: Splitting

  /// Whether the file opens as one of ``NetworkDescriptor``'s networks.
  private static func isKnown(_ row: Family) -> Bool {
    // A vision model may lack the projection, without which it has no graph.
    row.parts.isEmpty && row.part != .imageEncoder
      && NetworkDescriptor(className: row.classes.first) != nil
  }

  private static func architecture(_ row: Family, _ title: String) -> String? {
    switch (row.id, title) {
    case ("clip", _) where row.part == .textEncoder: NetworkDescriptor.textEncoder.className
    case ("t5", "UMT5 encoder"): "UMT5EncoderModel"
    default: row.classes.first
    }
  }

  /// The denoiser's family in a file whose networks were split.
  private static func main(of components: [Component]) -> Family? {
    guard let component = components.first(where: { $0.name == .unet }) else { return nil }
    let views = FamilyShapes.views(of: component.bareTensors)
    return (Family.transformers + Family.stableDiffusion).first { row in
      views.contains { row.proof($0) != nil }
    }
  }

  /// Prefixes of networks next to any denoiser.
  private static let common: [FamilyPart] = [
    FamilyPart(prefix: "vae.", name: .vae),
    FamilyPart(prefix: "audio_vae.", name: ComponentName(rawValue: "audio_vae")),
    FamilyPart(prefix: "vocoder.", name: ComponentName(rawValue: "vocoder")),
    FamilyPart(prefix: "embedder.model.visual.", name: .imageEncoder),
    FamilyPart(prefix: "safety_checker.", name: .safetyChecker),
  ]

  private static let textPrefix = "text_encoders."

  /// The networks of a component with tensors of several, or of one with another name.
  private static func carved(
    _ component: Component, _ parts: [FamilyPart], taken: Set<ComponentName>
  ) -> [Component] {
    var groups: [(name: ComponentName, prefix: String, tensors: [Tensor])] = []
    var rest: [Tensor] = []
    // Text encoders without a name in the family are numbered in order, after the named ones.
    var numbered: [String: ComponentName] = [:]
    var taken = taken
    for tensor in component.tensors {
      let name = component.bareName(of: tensor)
      let found: FamilyPart?
      if let part = (parts + common).first(where: { name.hasPrefix($0.prefix) }) {
        found = part
      } else if component.name == .other, name.hasPrefix(textPrefix) {
        let word = name.dropFirst(textPrefix.count).prefix { $0 != "." }
        let prefix = "\(textPrefix)\(word)."
        // Real files have up to three.
        guard numbered[prefix] != nil || numbered.count < 8 else {
          rest.append(tensor)
          continue
        }
        let number = numbered[prefix] ?? freeEncoder(taken)
        numbered[prefix] = number
        taken.insert(number)
        found = FamilyPart(prefix: prefix, name: number)
      } else {
        found = nil
      }
      guard let found else {
        rest.append(tensor)
        continue
      }
      if let place = groups.firstIndex(where: { $0.name == found.name }) {
        groups[place].tensors.append(tensor)
      } else {
        groups.append((found.name, found.prefix, [tensor]))
      }
    }
    guard !groups.isEmpty else { return [component] }
    var made = groups.map { group in
      component.renamed(
        group.name,
        architecture(
          ofEncoder: group.tensors.map { $0.renamed(component.bareName(of: $0)) },
          behind: group.prefix),
        nil, tensors: group.tensors)
    }
    if !rest.isEmpty {
      made.insert(
        component.renamed(
          component.name, component.architecture, component.configuration,
          tensors: rest), at: 0)
    }
    return made
  }

  private static func freeEncoder(_ taken: Set<ComponentName>) -> ComponentName {
    var name = ComponentName.textEncoder
    var number = 1
    while taken.contains(name) {
      number += 1
      name = ComponentName(rawValue: "text_encoder_\(number)")
    }
    return name
  }

  /// The class of an encoder, by tensor names.
  private static func architecture(ofEncoder tensors: [Tensor], behind prefix: String) -> String? {
    for tail in ["", "transformer.", "model.", "transformer.model."] {
      let shapes = FamilyShapes(tensors, prefix: prefix + tail)
      if let row = Family.encoders.first(where: { $0.proof(shapes) != nil }) {
        return architecture(row, row.title(shapes).title)
      }
    }
    return nil
  }

  private static func split(
    _ tensors: [Tensor], _ bareNames: [String], _ row: Family, prefix: String,
    _ make: (ComponentName, [Tensor], [String]) -> Component
  ) -> [Component] {
    var order: [ComponentName] = row.part.map { [$0] } ?? []
    var groups: [ComponentName: (tensors: [Tensor], names: [String])] = [:]
    for (tensor, whole) in zip(tensors, bareNames) {
      let isInside = whole.hasPrefix(prefix)
      let own = whole.dropFirst(isInside ? prefix.count : 0)
      let part = (row.parts + common).first {
        own.hasPrefix($0.prefix) || whole.hasPrefix($0.prefix)
      }
      let isLeft =
        !isInside || Leftover.kind(of: String(own)) != .unknown && !Leftover.isProjection(own)
      let name = part?.name ?? (isLeft ? .other : row.part ?? .other)
      if groups[name] == nil, !order.contains(name) { order.append(name) }
      groups[name, default: ([], [])].tensors.append(tensor)
      groups[name]?.names.append(whole)
    }
    order.removeAll { $0 == .other }
    return (order + [.other]).compactMap { name in
      groups[name].map { make(name, $0.tensors, $0.names) }
    }
  }
}

extension Component {
  /// A copy as another network, with all or some of the tensors.
  func renamed(
    _ name: ComponentName, _ architecture: String?, _ configuration: Configuration?,
    tensors: [Tensor]? = nil
  ) -> Component {
    let tensors = tensors ?? self.tensors
    return Component(
      name: name, architecture: architecture, configuration: configuration, path: path,
      files: files, format: format, metadata: metadata, tensors: tensors,
      bareNames: tensors.map(bareName), extensions: extensions, findings: findings)
  }

  /// A copy with more tensors.
  func joined(with other: Component) -> Component {
    Component(
      name: name, architecture: architecture, configuration: configuration, path: path,
      files: files, format: format, metadata: metadata, tensors: tensors + other.tensors,
      bareNames: tensors.map(bareName) + other.tensors.map(other.bareName),
      extensions: extensions, findings: findings)
  }
}

extension Configuration {
  /// The configuration of one of the two networks of a whole CLIP (transformers' `CLIPConfig`); nil
  /// if this is none.
  ///
  /// As in transformers, `text_config_dict` takes the place of `text_config`, and the projection's
  /// width is that of the whole. Of the other fields, of which published files list those of every
  /// class, the ones that shape the network are kept.
  fileprivate func part(_ network: NetworkDescriptor) -> Configuration? {
    guard let word = network.clipField,
      object["model_type"]?.string == "clip" || architecture == "CLIPModel",
      let given = object[word + "_dict"]?.object ?? object[word]?.object
    else { return nil }
    var part: JSONObject = [
      "architectures": [.string(network.className)],
      "projection_dim": object["projection_dim"] ?? 512,
    ]
    for field in Self.shapingFields {
      if let value = given[field] { part[field] = value }
    }
    return Configuration(object: part, path: path, origin: origin)
  }

  private static let shapingFields = [
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings", "layer_norm_eps", "hidden_act", "eos_token_id", "image_size",
    "patch_size", "num_channels",
  ]
}
