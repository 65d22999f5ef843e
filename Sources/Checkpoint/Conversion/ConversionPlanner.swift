import ModelFormats
import ModelGraph
import OrderedJSON

/// Decides which tensors and files of a checkpoint are written where, under which names.
struct ConversionPlanner {
  let source: ModelCheckpoint
  let target: Conversion.Target
  let options: Conversion.Options
  let container: Conversion.Container
  /// The components to convert, with EMA weights in place of the UNet on request.
  let components: [Component]
  let isDirectory: Bool
  private let path: String
  /// Whether a file with an unknown network keeps all its names.
  private let keepsNames: Bool
  let files: [AuxiliaryFile]
  var maker: StepMaker
  private let fileNotes: [String]
  let fileWarnings: [String]

  var notes: [String] { maker.notes + fileNotes }

  init(
    _ source: ModelCheckpoint, _ target: Conversion.Target, _ options: Conversion.Options,
    path: String
  ) throws(FormatError) {
    self.source = source
    self.target = target
    var options = options
    // GGUF has no 8-bit floating-point type; all such values are exact in F16.
    if target == .gguf, options.dtype == nil { options.eightBitType = .float16 }
    self.options = options
    self.path = path
    container = target.container(options.format, path: path)
    maker = StepMaker(options)
    let components = try ConversionPlanner.selected(of: source, options, &maker)
    self.components = components
    try ConversionPlanner.check(components, target, of: source, casts: options.multipliesScales)
    try ConversionPlanner.checkScales(of: components, target, options, source)
    try ConversionPlanner.checkUnread(of: source, options, &maker)
    let unknown = components.filter {
      ($0.isUnknownNetwork || $0.hasNoPlace) && !$0.isHelper(among: components)
    }
    let keepsNames = target == .gguf && !unknown.isEmpty
    self.keepsNames = keepsNames
    if keepsNames, components.count > 1 {
      maker.note(
        unknown.map(\.name.rawValue).joined(separator: ", ")
          + (unknown.allSatisfy(\.hasNoPlace)
            ? ": single files have no names for it" : ": the network is not known")
          + ", so that all tensors keep the source's names")
    }
    let isWhole = options.components == nil && source.isPipeline
    if target == .diffusers, options.components == nil, !isWhole, components.count > 1 {
      let missing = ComponentName.required.filter {
        source[$0] == nil && source[$0.averages] == nil
      }
      maker.note(
        "model_index.json is not written, without which diffusers loads no pipeline"
          + (missing.isEmpty
            ? ""
            : ": the source has no " + missing.map(\.title).joined(separator: " and no ")))
    }
    switch target {
    case .diffusers: isDirectory = true
    case .safetensors: isDirectory = isWhole && source.isInParts
    case .sdflat, .ldm, .gguf: isDirectory = false
    }
    let isComplete =
      isWhole && (target == .diffusers || target == .sdflat || isDirectory)
    var pipeline = PipelineFiles(
      of: source, components: components, isWhole: isWhole && (isComplete || source.isInParts),
      companions: isComplete ? options.companions : [])
    if target == .ldm || target == .gguf || (target == .safetensors && !isDirectory) {
      // Configurations that fit in metadata; inferred ones are not stored, because readers can
      // infer them too.
      let own = source.files.filter { file in
        options.components?.contains { file.path.hasPrefix("\($0)/") } ?? true
      }
      let isAlone = components.count { $0.name != .other } == 1
      let outside = components.filter { component in
        component.name != .other && !isAlone && !keepsNames && target != .safetensors
          && ConversionPlanner.single(component, isAlone: false, target) == nil
      }
      files =
        container == .pytorch
        ? [] : EmbeddedFiles.held(PipelineFiles.without(outside.map(\.name), own))
      fileNotes = []
      fileWarnings = ConversionPlanner.tokenizerLoss(own, files, components)
    } else {
      if isWhole { pipeline.noteTokenizer(of: components) }
      files = pipeline.files
      (fileNotes, fileWarnings) = (pipeline.notes, pipeline.warnings)
    }
  }

  /// Whether one file is converted to one file; a file made from several takes over no metadata.
  private var isOneFile: Bool {
    if case .file = source.layout { true } else { components.count == 1 }
  }

  /// The prediction type of the source's scheduler as metadata for a single file; nil for epsilon,
  /// which is the default, or if the metadata has it already.
  var predictionMark: (key: String, value: String)? {
    guard target == .ldm || target == .gguf, components.contains(where: { $0.name == .unet }),
      !isOneFile || PredictionMarks(source).mark == nil,
      let scheduler = source.files.first(where: { $0.path == "scheduler/scheduler_config.json" }),
      (try? scheduler.jsonObject())?["prediction_type"]?.string == "v_prediction"
    else { return nil }
    return (PredictionMarks.predictionKey, "v")
  }

  /// Lists metadata that the target cannot store. It may contain an adapter's alpha.
  var metadataLoss: [String] {
    var warnings: [String] = []
    let own = components.flatMap(Conversion.metadata)
    let others = source.components.first.map(Conversion.ggufMetadata) ?? []
    let isKept = isOneFile || isDirectory
    let lostPairs =
      switch container {
      case .safetensors: isKept ? [] : own
      case .gguf: isKept ? own.filter { !Conversion.isCarriedToGGUF($0) } : own
      default: own
      }
    var seen: Set<String> = []
    let lost = (lostPairs + others).map(\.key).filter { seen.insert($0).inserted }
    if !lost.isEmpty {
      warnings.append(
        "\(lost.count.of("pair of metadata is", "pairs of metadata are")) not written: "
          + Leftover.shown(lost, limit: 8)
          + (lost.contains("lora_adapter_metadata")
            ? "; lora_adapter_metadata says how strong the adapter is: keep safetensors" : ""))
    }
    if predictionMark != nil, container == .pytorch {
      warnings.append(
        "that the model predicts velocity (v_prediction in scheduler_config.json) is not written: a "
          + "PyTorch file has no place for it, and programs that read the file must be told")
    }
    let directory = source.path.lastIndex(of: "/").map { source.path[...$0] } ?? ""
    if source.path.dropFirst(directory.count).hasPrefix("adapter_model."),
      let file = try? AuxiliaryFile(
        path: "adapter_config.json", at: directory + "adapter_config.json"), file.byteCount > 0
    {
      warnings.append(
        "adapter_config.json beside the source is not written: it says how strong the adapter is")
    }
    return warnings
  }

  /// Reports tokenizers that are not written and that readers cannot get elsewhere.
  private static func tokenizerLoss(
    _ files: [AuxiliaryFile], _ held: [AuxiliaryFile], _ components: [Component]
  ) -> [String] {
    let tokenizer = TokenizerFiles(in: files)
    let padding = components.contains(where: \.isOpenCLIP) ? "!" : "<|endoftext|>"
    if case .foreign(let kind) = tokenizer.form {
      return ["the tokenizer is not written: a single file has no place for \(kind)"]
    }
    guard held.isEmpty, tokenizer.isComplete, !tokenizer.isCLIP(padding: padding) else {
      return []
    }
    return [
      "the tokenizer is not written: a PyTorch file has no place for it, and programs that read the "
        + "file use CLIP's, which differs (its own added tokens, padding or vocabulary)"
    ]
  }

  // MARK: Parts

  mutating func parts() throws(FormatError) -> [Conversion.Part] {
    if target == .safetensors, let part = try maker.textualInversion(source, container, path) {
      return [part]
    }
    switch target {
    case .sdflat:
      return try components.map { (component) throws(FormatError) in
        try part(component, naming: published(component), output: "")
      }
    case .diffusers:
      let published = published
      return try directoryParts(naming: published)
    case .safetensors where isDirectory: return try directoryParts { _ in nil }
    case .safetensors:
      let kept = kept
      return [try joined(naming: kept)]
    case .ldm, .gguf:
      // Tensors of no network are not a second network.
      let isAlone = components.count { $0.name != .other } == 1
      let (target, keepsNames) = (target, keepsNames)
      let kept = kept
      return [
        try joined {
          keepsNames ? kept($0) : ConversionPlanner.single($0, isAlone: isAlone, target)
        }
      ]
    }
  }

  /// The source's names; EMA weights used as weights get the weights' names.
  private func kept(_ component: Component) -> Naming? {
    component.name == .unet && component.naming?.family == .average
      ? Naming(.singleFile, prefix: "model.diffusion_model.") : nil
  }

  /// Published names, if the source's names are neither current nor those of 2022.
  private func published(_ component: Component) -> Naming? {
    guard let manifest = component.manifest, component.naming != nil else { return nil }
    let isPublished = component.tensors.allSatisfy { tensor in
      guard let parameter = manifest.parameter(of: tensor.name) else {
        return manifest.sharers(of: tensor.name).isEmpty
      }
      return tensor.name == parameter.name || tensor.name == parameter.aliases.first
    }
    return isPublished && !component.isWrapped && manifest.duplicates.isEmpty ? nil : .published
  }

  /// The names in single files. A VAE on its own has no prefix, as programs expect. An original
  /// file has OpenCLIP's text encoder in OpenCLIP's layout; in a GGUF file each tensor is quantized
  /// separately, and its readers use SD 1.x names.
  private static func single(
    _ component: Component, isAlone: Bool, _ target: Conversion.Target
  ) -> Naming? {
    guard component.manifest != nil, let network = NetworkDescriptor(component: component.name)
    else { return nil }
    if target == .ldm, component.isOpenCLIP, let joined = network.joinedNamings.first {
      return joined
    }
    return network.writtenPrefix.map {
      Naming(.singleFile, prefix: isAlone ? $0.alone : $0.beside)
    }
  }

  private mutating func directoryParts(
    naming: (Component) -> Naming?
  ) throws(FormatError) -> [Conversion.Part] {
    var parts: [Conversion.Part] = []
    let networks = components.filter { $0.name != .other }
    for component in components {
      guard component.name != .other else {
        try dropOthers(component)
        continue
      }
      let directory = networks.count == 1 ? "" : "\(component.name)/"
      let isTransformers = component.configuration?.isTransformers ?? false
      let name =
        switch (container, isTransformers) {
        case (.pytorch, true): "pytorch_model.bin"
        case (.pytorch, false): "diffusion_pytorch_model.bin"
        case (_, true): "model.safetensors"
        case (_, false): "diffusion_pytorch_model.safetensors"
        }
      parts.append(
        try part(component, naming: naming(component), output: directory + name))
    }
    return parts
  }

  private mutating func part(
    _ component: Component, naming: Naming?, output: String
  ) throws(FormatError) -> Conversion.Part {
    let tensors = target == .sdflat ? component.executionOrder : component.tensors
    return Conversion.Part(
      component: component, output: output,
      tensors: try distinct(maker.steps(of: component, tensors, naming: naming)))
  }

  /// Drops tensors of no network, which a repository cannot store; unknown ones only on request.
  private mutating func dropOthers(_ component: Component) throws(FormatError) {
    let unknown = component.tensors.filter {
      Leftover.kind(of: $0.name) == .unknown && !component.scales.isPart($0.name)
    }
    guard unknown.isEmpty || options.dropUnknown else {
      throw FormatError(
        .unsupported,
        "a repository has no place for \(unknown.count.of("tensor")) of no known network: "
          + Leftover.shown(unknown.map(\.name)),
        file: source.path, context: component.name.rawValue,
        hint:
          "pass \(set: .dropUnknown) to leave them out, or convert to sdflat, ldm or safetensors")
    }
    maker.drop(component.tensors, of: component.name) { tensor in
      let kind =
        component.scales.isPart(tensor.name) ? .weightScales : Leftover.kind(of: tensor.name)
      return kind == .unknown
        ? "it belongs to no network" : "\(kind.rawValue): a repository has no place for it"
    }
  }

  /// The steps with unique names: an unknown tensor keeps its full name if the bare name is taken.
  ///
  /// - Throws: ``FormatError`` `mismatch` if two tensors would still have one name.
  private func distinct(_ steps: [Conversion.Step]) throws(FormatError) -> [Conversion.Step] {
    var steps = steps
    var places: [ExactName: Int] = [:]
    for known in [true, false] {
      for index in steps.indices where steps[index].isParameter == known {
        if places[ExactName(steps[index].tensor.name)] != nil, let whole = steps[index].source {
          steps[index].rename(whole)
        }
        let name = ExactName(steps[index].tensor.name)
        if let other = places[name] {
          let sources = [other, index].map { steps[$0].source ?? "a new tensor" }
          throw FormatError(
            .mismatch,
            "two tensors would have the name \(name.text): "
              + sources.map(Tensor.displayName).joined(separator: " and "),
            file: source.path, context: steps[index].component.rawValue,
            hint: target == .safetensors
              ? "rename one of them in the source, or convert one component with \(set: .components)"
              : "convert to safetensors, which keeps the source's names")
        }
        places[name] = index
      }
    }
    return steps
  }

  /// All components in one file, as one part.
  private mutating func joined(
    naming: (Component) -> Naming?
  ) throws(FormatError) -> Conversion.Part {
    var steps: [Conversion.Step] = []
    // Single files of 2022 begin with the UNet.
    let order: [ComponentName] = target == .ldm ? [.unet, .vae, .textEncoder] : []
    let sorted =
      order.compactMap { name in components.first { $0.name == name } }
      + components.filter { !order.contains($0.name) }
    for component in sorted {
      let naming = naming(component)
      if target == .ldm || target == .gguf, component.name != .other, components.count > 1,
        naming == nil, !keepsNames
      {
        maker.drop(component.tensors, of: component.name, "a single file has no place for it")
        continue
      }
      if naming?.family == .openCLIP, component.naming?.family != .openCLIP {
        maker.note(
          "text_encoder: it is written in OpenCLIP's layout, as original files of SD 2.x have it; "
            + "their last layer, text_projection and logit_scale, which SD 2.x does not use, are not "
            + "in the source and are not written")
      }
      steps += try maker.steps(of: component, component.tensors, naming: naming)
      if target == .ldm, let naming, naming.family == .singleFile {
        steps += missingBuffers(of: component, steps, naming)
      }
    }
    return Conversion.Part(
      component: components.count == 1 ? components[0] : .joined(components, source),
      output: "", tensors: try distinct(steps))
  }

  /// Strict readers of single files need position ids.
  private mutating func missingBuffers(
    of component: Component, _ steps: [Conversion.Step], _ naming: Naming
  ) -> [Conversion.Step] {
    var created: [Conversion.Step] = []
    let names = Set(steps.map(\.tensor.name))
    for buffer in component.graphs.flatMap(\.buffers) where PositionIDs.isName(buffer.name) {
      let name = naming.name(of: buffer)
      guard !names.contains(name), let count = buffer.shape.last else { continue }
      let ids = PositionIDs.tensor(named: name, count: count)
      created.append(
        Conversion.Step(
          component: component.name, tensor: ids, source: nil, dtype: ids.dtype, change: .created))
      maker.note("\(component.name): \(name) is created, as single files have it")
    }
    return created
  }
}

extension Component {
  /// Messages about several components in one file.
  fileprivate static func joined(
    _ components: [Component], _ source: ModelCheckpoint
  ) -> Component {
    var metadata: [(key: String, value: String)] = []
    if case .file = source.layout { metadata = components.first?.metadata ?? [] }
    return Component(
      name: .model, architecture: nil, configuration: nil, path: source.path,
      format: components.first?.format ?? .safetensors, metadata: metadata, tensors: [])
  }
}
