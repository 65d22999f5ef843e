import ModelFormats
import ModelGraph
import OrderedJSON

/// The small files that a pipeline needs besides its weights; missing ones are created or taken
/// from elsewhere.
struct PipelineFiles {
  /// The files, by their path in a repository.
  private(set) var files: [AuxiliaryFile]
  /// What was created or is missing, in words.
  private(set) var notes: [String] = []
  /// Missing files without which a pipeline is useless.
  private(set) var warnings: [String] = []

  /// The files of `source` for some of its components, or all for a complete pipeline.
  ///
  /// - Parameter companions: files to take if the source has none: a tokenizer's.
  init(
    of source: ModelCheckpoint, components: [Component], isWhole: Bool,
    companions: [AuxiliaryFile]
  ) {
    let names = Set(components.map(\.name.rawValue))
    let dropped = Set(source.components.map(\.name.rawValue)).subtracting(names)
    files = source.files.filter { file in
      let folder = String(file.path.prefix { $0 != "/" })
      return names.contains(folder) || isWhole && !dropped.contains(folder)
    }
    for component in components { addConfiguration(of: component) }
    guard isWhole else { return }
    addTokenizer(companions, of: components)
    let pipeline = PipelineClass(of: source, components)
    addScheduler(pipeline, of: components)
    addIndex(pipeline, of: components)
  }

  private func contains(_ path: String) -> Bool { files.contains { $0.path == path } }

  private mutating func add(_ path: String, _ object: JSONObject) {
    files.append(
      AuxiliaryFile(
        path: path, location: path, bytes: Array((JSON.object(object).text() + "\n").utf8)))
  }

  private mutating func addConfiguration(of component: Component) {
    let path = "\(component.name)/config.json"
    guard !contains(path), let configuration = component.configuration else { return }
    add(path, configuration.object)
    if configuration.origin == .inferred {
      notes.append(
        "\(path): inferred from tensor shapes; heads, norm groups and activation "
          + "assumed from the width")
    }
  }

  private mutating func addTokenizer(_ companions: [AuxiliaryFile], of components: [Component]) {
    let own = TokenizerFiles(in: files)
    // The source's own tokenizer is kept in any form.
    guard !own.hasVocabulary else { return }
    let tokens = components.first { $0.name == .textEncoder }?
      .configuration?.object["vocab_size"]?.int
    // The companions' settings would contradict the source's own.
    let tokenizer = TokenizerFiles(in: companions).files.filter { file in
      !contains(file.path) && (own.isEmpty || TokenizerFiles.isVocabulary(file.path))
    }
    guard tokens.map({ isFitting(own.files, tokenizer, tokens: $0) }) ?? false else {
      warnings.append(
        "no tokenizer is written: the source has none, and CLIP's is not for the "
          + "\(tokens.map { "\($0)" } ?? "unknown number of") tokens of this text encoder")
      dropTokenizer()
      return
    }
    guard TokenizerFiles(in: tokenizer).hasVocabulary else {
      warnings.append(
        "no tokenizer is written, without which prompts cannot be read: the source has none, and the "
          + "bundled model, which has CLIP's, was not found; set SDLOOM_MODEL to its directory, or name a "
          + "repository to take the tokenizer from")
      dropTokenizer()
      return
    }
    guard own.isEmpty else {
      files += tokenizer
      notes.append(
        "the tokenizer's vocabulary is CLIP's: the source has only its settings ("
          + own.files.map { String($0.path.dropFirst("tokenizer/".count)) }
          .joined(separator: ", ") + ")")
      return
    }
    guard components.contains(where: \.isOpenCLIP) else {
      files += tokenizer
      notes.append("the tokenizer is CLIP's: the source has none")
      return
    }
    files += tokenizer.map { file in
      guard
        ["tokenizer_config.json", "special_tokens_map.json"].contains(where: file.path.hasSuffix),
        var words = try? file.jsonObject(), words["pad_token"] != nil
      else { return file }
      words["pad_token"] = "!"
      return AuxiliaryFile(
        path: file.path, location: file.location, bytes: Array(JSON.object(words).text().utf8))
    }
    notes.append(
      "the tokenizer is CLIP's, filling prompts up with \"!\" as OpenCLIP does: the source has none"
    )
  }

  /// Whether another vocabulary fits a text encoder with this many tokens. CLIP's is the same for
  /// all of Stable Diffusion up to 2.x; the source's own settings may add tokens.
  private func isFitting(
    _ settings: [AuxiliaryFile], _ companions: [AuxiliaryFile], tokens: Int
  ) -> Bool {
    if settings.isEmpty, tokens == 49_408 { return true }
    guard
      let definition = try? TokenizerDefinition(TokenizerFiles(in: settings + companions), of: "")
    else { return companions.isEmpty && tokens == 49_408 }
    return definition.highestToken.id < tokens
      && (definition.tokenCount == tokens || !settings.isEmpty)
  }

  /// Notes oddities of the tokenizer, and mismatches with the text encoder.
  mutating func noteTokenizer(of components: [Component]) {
    let tokenizer = TokenizerFiles(in: files)
    guard tokenizer.hasVocabulary,
      let definition = try? TokenizerDefinition(tokenizer, of: "")
    else { return }
    notes += definition.notes
    let rows = components.first { $0.name == .textEncoder }?
      .configuration?.object["vocab_size"]?.int
    guard let rows else { return }
    do throws(FormatError) {
      try definition.check(embeddings: rows, of: "")
      notes += definition.note(onEmbeddings: rows).map { [$0] } ?? []
    } catch {
      warnings.append("tokenizer: \(error.message)")
    }
  }

  /// The files without those of some components, which are then also removed from the index.
  static func without(_ names: [ComponentName], _ files: [AuxiliaryFile]) -> [AuxiliaryFile] {
    guard !names.isEmpty else { return files }
    return files.compactMap { file in
      if names.contains(where: { file.path.hasPrefix("\($0)/") }) { return nil }
      guard file.path == "model_index.json", var index = try? file.jsonObject() else { return file }
      for name in names where index[name.rawValue] != nil { index[name.rawValue] = [.null, .null] }
      return AuxiliaryFile(
        path: file.path, location: file.location,
        bytes: Array((JSON.object(index).text() + "\n").utf8))
    }
  }

  /// Removes files that are useless without a vocabulary, and the tokenizer's entry in the index.
  private mutating func dropTokenizer() {
    files.removeAll { $0.path.hasPrefix("tokenizer/") }
    guard let position = files.firstIndex(where: { $0.path == "model_index.json" }),
      var index = try? files[position].jsonObject(), index["tokenizer"] != nil
    else { return }
    files.remove(at: position)
    index["tokenizer"] = [.null, .null]
    add("model_index.json", index)
  }

  /// Adds the scheduler for the kind of model if the source has none; none for an unknown model.
  private mutating func addScheduler(_ pipeline: PipelineClass, of components: [Component]) {
    let path = "scheduler/scheduler_config.json"
    guard !contains(path) else { return }
    guard let scheduler = pipeline.scheduler else {
      warnings.append("no \(path) is written: the source has none, and \(pipeline.reason)")
      return
    }
    add(path, scheduler)
    notes.append("\(path) is that of \(pipeline.schedulerReason): the source has none")
    guard pipeline.predictionMark == nil, !pipeline.isConsistency else { return }
    let unet = components.first { $0.name == .unet }?.configuration?.object
    if unet?["cross_attention_dim"]?.int == 1024 || components.contains(where: \.isOpenCLIP) {
      notes.append(
        "\(path): whether this model predicts noise or velocity (v_prediction, as SD 2.x in 768x768 "
          + "does) is not known; noise is taken")
    }
  }

  /// Adds the pipeline class if the source has none: always one with these networks.
  private mutating func addIndex(_ pipeline: PipelineClass, of components: [Component]) {
    let path = "model_index.json"
    guard !contains(path) else { return }
    guard let name = pipeline.name else {
      warnings.append("no \(path) is written: the source has none, and \(pipeline.reason)")
      return
    }
    var index: JSONObject = ["_class_name": .string(name), "_diffusers_version": "0.6.0"]
    for lacking in pipeline.lacking {
      index[lacking] = [.null, .null]
      notes.append("\(path): \(name) needs a \(lacking), which is not in the source")
    }
    index["feature_extractor"] = [.null, .null]
    index["requires_safety_checker"] = false
    index[ComponentName.safetyChecker.rawValue] = [.null, .null]
    let scheduler = files.first { $0.path == "scheduler/scheduler_config.json" }
    if let className = (try? scheduler?.jsonObject())?["_class_name"]?.string {
      index["scheduler"] = ["diffusers", .string(className)]
    }
    if TokenizerFiles(in: files).hasVocabulary {
      index["tokenizer"] = ["transformers", "CLIPTokenizer"]
    }
    for component in components where PipelineClass.parts.contains(component.name) {
      guard let architecture = component.architecture else { continue }
      let library =
        NetworkDescriptor(component: component.name)?.library
        ?? (component.configuration?.isTransformers == true ? "transformers" : "diffusers")
      index[component.name.rawValue] = [.string(library), .string(architecture)]
    }
    add(path, index)
    if name != "StableDiffusionPipeline" {
      notes.append("\(path) names a \(name): \(pipeline.reason)")
    }
  }
}

extension Component {
  /// Whether it is the UNet of a latent consistency model, which has an embedding of the guidance
  /// scale.
  var isConsistencyModel: Bool {
    name == .unet && configuration?.object["time_cond_proj_dim"]?.int != nil
  }

  /// Whether it is an OpenCLIP text encoder, which uses plain GELU, unlike CLIP.
  var isOpenCLIP: Bool {
    name == .textEncoder && configuration?.object["hidden_act"]?.string == "gelu"
  }
}

extension ModelCheckpoint {
  /// A copy with the small files that a pipeline needs and a single file lacks.
  ///
  /// - Parameter companions: files to take a tokenizer from.
  public func completed(with companions: [AuxiliaryFile]) -> ModelCheckpoint {
    let networks = ComponentName.required.compactMap { self[$0] }
    guard networks.count == ComponentName.required.count,
      networks.allSatisfy({ $0.configuration != nil })
    else { return self }
    let pipeline = PipelineFiles(
      of: self, components: networks, isWhole: true, companions: companions)
    var checkpoint = self
    checkpoint.files = pipeline.files
    checkpoint.warnings += pipeline.notes + pipeline.warnings
    return checkpoint
  }
}

extension ModelCheckpoint {
  /// The small files that a pipeline needs beside its networks: this checkpoint's own, and where it
  /// has none, made as a conversion to a repository makes them.
  ///
  /// - Parameter tokenizer: files to take a tokenizer from where there is none.
  /// - Returns: the files, and what was made or is lacking, in words.
  public func pipelineFiles(
    tokenizer: [AuxiliaryFile] = []
  ) -> (files: [AuxiliaryFile], notes: [String]) {
    let networks = components.filter { !$0.graphs.isEmpty && $0.name.averaged == nil }
    let isWhole = ComponentName.required.allSatisfy { name in
      networks.contains { $0.name == name }
    }
    var pipeline = PipelineFiles(
      of: self, components: networks, isWhole: isWhole, companions: tokenizer)
    if isWhole { pipeline.noteTokenizer(of: networks) }
    return (pipeline.files, pipeline.notes + pipeline.warnings)
  }
}
