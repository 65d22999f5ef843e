import ModelFormats
import ModelGraph
import OrderedJSON

/// The components to convert, and which targets reject them.
extension ConversionPlanner {
  static func selected(
    of source: ModelCheckpoint, _ options: Conversion.Options, _ maker: inout StepMaker
  ) throws(FormatError) -> [Component] {
    let averages = source.components.filter { $0.name.averaged != nil }
    var components = source.components
    if options.useAverages {
      if averages.isEmpty, source.isOfAverages {
        maker.note("the weights lie in a dictionary of averages already; there are no others")
      } else if let unknown = averages.first(where: { $0.manifest == nil }) {
        throw unknown.graphFailure
          ?? FormatError(.unsupported, "the network is not known", file: source.path)
      } else if averages.isEmpty {
        throw FormatError(
          .mismatch, "the checkpoint has no averaged weights", file: source.path,
          context: ComponentName.unetEMA.rawValue,
          hint: "drop \(set: .useAverages); \(do: .inspect) shows what is there")
      }
      components = takingAverages(averages, of: source, options.components, &maker)
    }
    if let names = options.components {
      return try names.map { (name) throws(FormatError) in
        guard let component = components.first(where: { $0.name == name }) else {
          throw FormatError(
            .mismatch, "the checkpoint has no component \(name)", file: source.path,
            context: name.rawValue,
            hint: source[name.averages] != nil
              ? averagesHint
              : "its components: \(source.components.map(\.name.rawValue).joined(separator: ", "))")
        }
        return component
      }
    }
    guard !options.useAverages else { return components }
    if let lone = source.loneAverages.first {
      let title = (lone.name.averaged ?? lone.name).title
      throw FormatError(
        .mismatch, "the \(title) is there as averaged weights (EMA) only", file: source.path,
        context: lone.name.rawValue, hint: averagesHint)
    }
    for average in averages {
      maker.drop(average.tensors, of: average.name, "averaged weights (EMA), which were not chosen")
    }
    return components.filter { $0.name.averaged == nil }
  }

  private static let averagesHint: Remedy =
    "pass \(set: .useAverages) to convert the averaged weights, or \(set: .components) for the other "
    + "networks"

  /// The components, with EMA weights in place of the weights.
  private static func takingAverages(
    _ averages: [Component], of source: ModelCheckpoint, _ chosen: [ComponentName]?,
    _ maker: inout StepMaker
  ) -> [Component] {
    var components = source.components
    for average in averages {
      guard let name = average.name.averaged else { continue }
      components.removeAll { $0.name == average.name }
      let taken = average.renamed(name)
      if let place = components.firstIndex(where: { $0.name == name }) {
        if chosen?.contains(name) ?? true {
          maker.drop(
            components[place].tensors, of: name,
            "weights of the last step, replaced by the averages")
        }
        components[place] = taken
      } else {
        let end = components.firstIndex { $0.name == .other } ?? components.count
        components.insert(taken, at: end)
      }
    }
    return components
  }

  /// Checks that known networks are complete, and that networks are known if the target renames
  /// tensors: none is dropped for being unknown. Packed weights only keep their names and bytes.
  static func check(
    _ components: [Component], _ target: Conversion.Target, of source: ModelCheckpoint, casts: Bool
  ) throws(FormatError) {
    let renames = target == .ldm || target == .diffusers
    if renames, components.map(\.name) == [.model] {
      let recognition = Recognition(source)
      if [.lora, .textualInversion, .hypernetwork].contains(recognition.kind) {
        throw FormatError(
          .unsupported,
          "the layout \(target.rawValue) is for models; this is \(recognition.title)",
          file: source.path, hint: "\(set: .layout, "safetensors") keeps all tensors as they are")
      }
    }
    if target != .safetensors, source.isControlNetDifference {
      throw FormatError(
        .unsupported, ModelCheckpoint.controlNetDifference, file: source.path,
        context: "difference",
        hint: "convert the file that holds the whole network, or use \(set: .layout, "safetensors")"
      )
    }
    let isSingle = target == .ldm || target == .gguf
    for component in components {
      if target != .safetensors || casts, let refusal = component.packed.refusal(in: source.path) {
        throw refusal
      }
      let hasNoPlace = isSingle && component.hasNoPlace
      if component.manifest != nil, !hasNoPlace {
        // A part of a network may still change its container format.
        if renames || target == .sdflat || component.configuration?.origin == .file {
          try component.requireComplete()
        }
        continue
      }
      guard
        hasNoPlace
          || component.isUnknownNetwork && (!component.isHelper(among: components) || !isSingle)
      else { continue }
      let isKept =
        switch target {
        case .safetensors, .sdflat: true
        // Networks with published names can be stored in a repository.
        case .diffusers: source.isInParts && !component.isOfKnownClass && component.name != .model
        case .gguf: !source.isInParts || components.count == 1
        case .ldm: false
        }
      guard !isKept else { continue }
      var error =
        component.graphFailure
        ?? FormatError(
          .unsupported,
          hasNoPlace
            ? "single files have no names for this network" : "the network is not known",
          file: component.path)
      let name = component.name.rawValue
      if let field = error.context, field != name {
        error.context = "\(name): \(field)"
      } else {
        error.context = name
      }
      let others = components.filter { $0.manifest != nil && !(isSingle && $0.hasNoPlace) }
        .map(\.name.rawValue)
      error.hint =
        (error.hint.map { $0 + "; " } ?? "")
        + "\(set: .layout, "safetensors") keeps all tensors as they are"
        + (others.isEmpty
          ? "" : ", \(set: .components, others.joined(separator: ",")) converts the other networks")
      throw error
    }
    guard target != .ldm || components.contains(where: { $0.manifest != nil }) else {
      throw FormatError(
        .unsupported, "there is no network here that a single file holds", file: source.path,
        hint: "convert to safetensors instead")
    }
  }

  /// Scaled 8-bit weights are multiplied by their scales when cast; otherwise the scales must stay
  /// next to them under the same names.
  static func checkScales(
    of components: [Component], _ target: Conversion.Target, _ options: Conversion.Options,
    _ source: ModelCheckpoint
  ) throws(FormatError) {
    guard target != .safetensors, !options.multipliesScales else { return }
    let weights = components.flatMap(\.scales.weights)
    guard let first = weights.first else { return }
    throw FormatError(
      .unsupported,
      "\(weights.count.of("8-bit weight has a scale", "8-bit weights have scales")) "
        + "that the target cannot keep: \(Leftover.shown(weights))",
      file: source.path, context: first,
      hint:
        "pass \(set: .dtype, "f16") (or f32, bf16) to multiply the scales in, or use \(set: .layout, "safetensors")"
    )
  }

  /// Rejects unread values unless dropping them was requested.
  static func checkUnread(
    of source: ModelCheckpoint, _ options: Conversion.Options, _ maker: inout StepMaker
  ) throws(FormatError) {
    if let component = source.components.first {
      for value in source.findings.values { maker.drop(value, of: component.name) }
    }
    let unread = source.findings.unread
    guard let first = unread.first else { return }
    if options.dropUnknown {
      for values in unread { maker.drop(values) }
      return
    }
    let storages = unread.count { $0.kind == .storage }
    let tensors = unread.count - storages
    let counts = [
      storages == 0 ? nil : storages.of("storage"),
      tensors == 0 ? nil : tensors.of("tensor"),
    ]
    var error = FormatError(
      .unsupported,
      "\(counts.compactMap(\.self).joined(separator: " and ")) of the file cannot be read and would "
        + "be lost: \(Leftover.shown(unread.map(\.name)))",
      file: source.path, context: first.name,
      hint: "pass \(set: .dropUnknown) to convert without them")
    error.details = unread.map { "\($0.name): \($0.reason)" }
    throw error
  }
}

extension ModelCheckpoint {
  /// Whether it has the three networks of a pipeline with their configurations, the UNet at least
  /// as EMA weights.
  var isPipeline: Bool {
    ComponentName.required.allSatisfy { (self[$0] ?? self[$0.averages])?.configuration != nil }
  }

  /// Whether its components are separate, with their own names.
  var isInParts: Bool {
    layout == .repository || layout == .file(.sdflat)
  }
}

extension Component {
  /// Whether it is a network without a graph.
  var isUnknownNetwork: Bool { manifest == nil && name != .other }

  /// Whether single files of several networks have no names for it, though it has a graph.
  var hasNoPlace: Bool { manifest != nil && network?.hasSingleFileNames == false }

  /// Whether it only checks generated images, so that no single file contains it.
  func isHelper(among components: [Component]) -> Bool {
    NetworkDescriptor(component: name)?.role == .helper && components.count > 1
  }

  /// Whether its class has a graph, if not with this configuration.
  fileprivate var isOfKnownClass: Bool {
    network != nil
  }

  /// A copy with another name.
  fileprivate func renamed(_ name: ComponentName) -> Component {
    var component = self
    component.name = name
    return component
  }
}
