import ModelFormats
import ModelGraph
import OrderedJSON

/// Decides what of a checkpoint goes where, under which names.
struct ConversionPlanner {
  let source: ModelCheckpoint
  let target: Conversion.Target
  let options: Conversion.Options
  let container: Conversion.Container
  /// What is converted, the averaged UNet in the UNet's place where it was asked for.
  private(set) var components: [Component]
  let isDirectory: Bool
  private let path: String
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
    // GGUF has no 8-bit floating-point type; every value of one is an F16.
    if target == .gguf, options.dtype == nil { options.eightBitType = .float16 }
    self.options = options
    self.path = path
    container = target.container(options.format, path: path)
    maker = StepMaker(options)
    components = try ConversionPlanner.selected(of: source, target, options, &maker)
    try ConversionPlanner.check(components, target, of: source, casts: options.multipliesScales)
    try ConversionPlanner.checkScales(of: components, target, options, source)
    try ConversionPlanner.checkUnread(of: source, options, &maker)
    let isWhole = options.components == nil && source.isPipeline
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
      // What a file's metadata can hold; guesses are no better there than where it is read.
      let own = source.files.filter { file in
        options.components?.contains { file.path.hasPrefix("\($0)/") } ?? true
      }
      files = container == .pytorch ? [] : EmbeddedFiles.held(own)
      fileNotes = []
      fileWarnings = ConversionPlanner.tokenizerLoss(own, files, components)
    } else {
      if isWhole { pipeline.noteTokenizer(of: components) }
      files = pipeline.files
      (fileNotes, fileWarnings) = (pipeline.notes, pipeline.warnings)
    }
  }

  /// Says where a tokenizer that readers cannot have from elsewhere is not written.
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

  // MARK: Selection

  private static func selected(
    of source: ModelCheckpoint, _ target: Conversion.Target, _ options: Conversion.Options,
    _ maker: inout StepMaker
  ) throws(FormatError) -> [Component] {
    var components = source.components
    if options.useAverages {
      guard let average = source[.unetEMA], average.manifest != nil else {
        throw FormatError(
          .mismatch, "the checkpoint has no averaged weights", file: source.path,
          context: ComponentName.unetEMA.rawValue,
          hint: "leave --ema away; `sdinspect summary` says what there is")
      }
      for component in components where component.name == .unet {
        maker.drop(component.tensors, of: .unet, "weights of the last step, which --ema replaces")
      }
      components = components.map { $0.name == .unet ? average.renamed(.unet) : $0 }
    }
    if let names = options.components {
      components = try names.map { (name) throws(FormatError) in
        guard let component = components.first(where: { $0.name == name }) else {
          throw FormatError(
            .mismatch, "the checkpoint has no component \(name)", file: source.path,
            context: name.rawValue,
            hint: "its components: "
              + source.components.map(\.name.rawValue).joined(separator: ", "))
        }
        return component
      }
    } else if let average = source[.unetEMA] {
      if !options.useAverages {
        maker.drop(average.tensors, of: average.name, "averaged weights, which --ema takes")
      }
      components.removeAll { $0.name == .unetEMA }
    }
    return components
  }

  /// Networks that are known are complete, and those that a target renames are known. Packed weights
  /// only keep their names and bytes.
  private static func check(
    _ components: [Component], _ target: Conversion.Target, of source: ModelCheckpoint, casts: Bool
  ) throws(FormatError) {
    let renames = target == .ldm || target == .diffusers
    for component in components {
      if target != .safetensors || casts, let refusal = component.packed.refusal(in: source.path) {
        throw refusal
      }
      let isNetwork = Architecture(rawValue: component.architecture ?? "") != nil
      if component.manifest != nil {
        // A part of a network may still change its container.
        if renames || target == .sdflat || component.configuration?.origin == .file {
          try component.requireComplete()
        }
      } else if renames, isNetwork || component.name == .model {
        throw component.graphFailure
          ?? FormatError(.unsupported, "the network is not known", file: component.path)
      }
    }
    guard target != .ldm || components.contains(where: { $0.manifest != nil }) else {
      throw FormatError(
        .unsupported, "there is no network here that a single file holds", file: source.path,
        hint: "convert to safetensors instead")
    }
  }

  /// Scaled 8-bit weights are multiplied by their scales where they are cast; where they are not, the
  /// scales must stay beside them under the same names.
  private static func checkScales(
    of components: [Component], _ target: Conversion.Target, _ options: Conversion.Options,
    _ source: ModelCheckpoint
  ) throws(FormatError) {
    guard target != .safetensors, !options.multipliesScales else { return }
    let weights = components.flatMap(\.scales.weights)
    guard let first = weights.first else { return }
    throw FormatError(
      .unsupported,
      "\(weights.count) 8-bit \(weights.count == 1 ? "weight has a scale" : "weights have scales") "
        + "that the target cannot keep: \(Leftover.shown(weights))",
      file: source.path, context: first,
      hint: "pass --dtype f16 (or f32, bf16) to multiply the scales in, or use --to safetensors")
  }

  /// Values that were not read are lost only where that is asked for.
  private static func checkUnread(
    of source: ModelCheckpoint, _ options: Conversion.Options, _ maker: inout StepMaker
  ) throws(FormatError) {
    let unread = source.findings.unread
    guard let first = unread.first else { return }
    if options.dropUnknown {
      for values in unread { maker.drop(values) }
      return
    }
    let storages = unread.count { $0.kind == .storage }
    let tensors = unread.count - storages
    let counts = [
      storages == 0 ? nil : storages == 1 ? "1 storage" : "\(storages) storages",
      tensors == 0 ? nil : tensors == 1 ? "1 tensor" : "\(tensors) tensors",
    ]
    var error = FormatError(
      .unsupported,
      "\(counts.compactMap(\.self).joined(separator: " and ")) of the file cannot be read and would "
        + "be lost: \(Leftover.shown(unread.map(\.name)))",
      file: source.path, context: first.name,
      hint: "pass --drop-unknown to convert without them")
    error.details = unread.map { "\($0.name): \($0.reason)" }
    throw error
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
    case .diffusers: return try directoryParts(naming: published)
    case .safetensors where isDirectory: return try directoryParts { _ in nil }
    case .safetensors: return [try joined { _ in nil }]
    case .ldm, .gguf:
      let isAlone = components.count == 1
      let target = target
      return [try joined { ConversionPlanner.single($0, isAlone: isAlone, target) }]
    }
  }

  /// Published names, where the source has others.
  private func published(_ component: Component) -> Naming? {
    guard let naming = component.naming else { return nil }
    return naming.family == .published && naming.prefix.isEmpty && component.wrapper.isEmpty
      ? nil : .published
  }

  /// The names of single files. A VAE alone goes without prefix, as programs that take one expect.
  /// An original file has OpenCLIP's text encoder in OpenCLIP's layout; of a GGUF file each
  /// tensor is quantised alone, and its readers take the names of SD 1.x.
  private static func single(
    _ component: Component, isAlone: Bool, _ target: Conversion.Target
  ) -> Naming? {
    guard component.manifest != nil else { return nil }
    switch component.name {
    case .textEncoder where target == .ldm && component.isOpenCLIP: return Architecture.openCLIP
    case .textEncoder: return Naming(.singleFile, prefix: "cond_stage_model.transformer.")
    case .unet: return Naming(.singleFile, prefix: "model.diffusion_model.")
    case .vae: return Naming(.singleFile, prefix: isAlone ? "" : "first_stage_model.")
    case .controlNet: return Naming(.singleFile, prefix: "control_model.")
    default: return nil
    }
  }

  private mutating func directoryParts(
    naming: (Component) -> Naming?
  ) throws(FormatError) -> [Conversion.Part] {
    var parts: [Conversion.Part] = []
    let networks = components.filter { $0.name != .other }
    for component in components {
      guard component.name != .other else {
        maker.drop(component.tensors, of: component.name, "a repository has no place for it")
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
      tensors: try maker.steps(of: component, tensors, naming: naming))
  }

  /// All components in one file, as one part.
  private mutating func joined(
    _ naming: (Component) -> Naming?
  ) throws(FormatError) -> Conversion.Part {
    var steps: [Conversion.Step] = []
    // Single files of 2022 begin with the UNet.
    let order: [ComponentName] = target == .ldm ? [.unet, .vae, .textEncoder] : []
    let sorted =
      order.compactMap { name in components.first { $0.name == name } }
      + components.filter { !order.contains($0.name) }
    for component in sorted {
      if target == .ldm || target == .gguf, component.name != .other, components.count > 1,
        ConversionPlanner.single(component, isAlone: false, target) == nil
      {
        maker.drop(component.tensors, of: component.name, "a single file has no place for it")
        continue
      }
      let naming = naming(component)
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
      output: "", tensors: steps)
  }

  /// Programs that read single files strictly want position ids.
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

extension ModelCheckpoint {
  /// Whether it holds the three networks of a pipeline, each known.
  fileprivate var isPipeline: Bool {
    ComponentName.required.allSatisfy { self[$0]?.configuration != nil }
  }

  /// Whether its components lie apart, with names of their own.
  fileprivate var isInParts: Bool {
    layout == .repository || layout == .file(.sdflat)
  }
}

extension Component {
  /// The same under another name.
  fileprivate func renamed(_ name: ComponentName) -> Component {
    var component = self
    component.name = name
    return component
  }

  /// What is said of several components that go into one file.
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
