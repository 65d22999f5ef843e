import ModelFormats
import OrderedJSON

extension ModelCheckpoint {
  /// Opens a repository directory: every subdirectory with weights is a component.
  static func repository(
    _ root: Directory, _ choice: WeightsChoice
  ) throws(FormatError) -> ModelCheckpoint {
    var files: [AuxiliaryFile] = []
    var warnings: [String] = []
    var listed: [String: String] = [:]
    if root.contains("model_index.json") {
      let file = try AuxiliaryFile(
        path: "model_index.json", at: "\(root.path)/model_index.json")
      files.append(file)
      listed = ModelCheckpoint.listedComponents(try file.jsonObject())
    }
    warnings += root.danglingLinks.map(\.sentence)
    // Without an index, no network is required: a training program's directory contains only the
    // one it trains.
    let required =
      root.contains("model_index.json")
      ? required(listed)
      : ComponentName.required.filter { root.directories.contains($0.rawValue) }
    for name in required {
      try requireDirectory(of: name, in: root)
    }
    for name in listed.keys.sorted() where !root.directories.contains(name) {
      warnings.append("\(name): model_index.json lists it, but there is no such directory")
    }

    var components: [Component] = []
    var unread: [UnreadWeights] = []
    var others: [String] = []
    try requireVariant(choice.variant, in: root)
    let names = root.directories.map(ComponentName.init(rawValue:))
    for name in required + names.filter({ !required.contains($0) }) {
      guard name.isValid, let directory = try Directory(path: "\(root.path)/\(name)"),
        listed[name.rawValue] != nil || isPart(directory)
      else {
        others.append("\(name)/")
        continue
      }
      let small = try auxiliaryFiles(of: directory, name: name, warnings: &warnings)
      files += small
      others += directory.others(than: small, below: "\(name)/")
      warnings += directory.danglingLinks.map { "\(name): \($0.sentence)" }
      guard let weights = weights(of: directory, name, choice, &warnings) else {
        if required.contains(name) {
          throw try root.onnxExport() ?? withoutWeights(directory, name)
        }
        if !directory.possibleWeights.isEmpty || directory.contains("config.json") {
          warnings.append("\(name): no weights were read; \(found(directory))")
        }
        continue
      }
      let component = try component(
        directory, weights, name: name, listedClass: listed[name.rawValue], warnings: &warnings)
      components.append(component)
      unread += directory.unread(except: [weights.file] + component.files, below: "\(name)/")
    }
    unread += root.unread(except: [], below: "")
    others += root.others(than: files, below: "").filter { !$0.hasSuffix("/") }
    return ModelCheckpoint(
      path: root.path, layout: .repository, components: components, files: files,
      warnings: warnings, unreadWeights: unread, otherFiles: others.sorted())
  }

  /// The weights of a component to read; those without a variant if it lacks the requested variant
  /// and another component has it.
  private static func weights(
    of directory: Directory, _ name: ComponentName, _ choice: WeightsChoice,
    _ warnings: inout [String]
  ) -> WeightsName? {
    if let weights = directory.weights(choice) {
      if let note = onlyVariant(weights, choice) { warnings.append("\(name): \(note)") }
      return weights
    }
    guard let variant = choice.variant,
      let weights = directory.weights(WeightsChoice(format: choice.format))
    else { return nil }
    warnings.append("\(name): there is no variant \(variant); \(weights.file) was read")
    return weights
  }

  /// A note about weights of a variant that was not requested; nil for others.
  private static func onlyVariant(_ weights: WeightsName, _ choice: WeightsChoice) -> String? {
    guard choice.variant == nil, let variant = weights.variant else { return nil }
    return "\(weights.file) was read, since there are only weights of the variant \(variant)"
  }

  /// Rejects a variant that no component has.
  private static func requireVariant(
    _ variant: String?, in root: Directory
  ) throws(FormatError) {
    guard let variant else { return }
    var found: Set<String> = []
    for name in root.directories {
      found.formUnion(try Directory(path: "\(root.path)/\(name)")?.variants ?? [])
    }
    if !found.contains(variant) { throw noVariant(variant, found.sorted(), root.path) }
  }

  private static func noVariant(
    _ variant: String, _ found: [String], _ path: String
  ) -> FormatError {
    FormatError(
      .notFound, "no weights here are of the variant \(variant)", file: path,
      hint: found.isEmpty
        ? "there are no variants; drop \(set: .variant)"
        : "the variants that are there: \(found.joined(separator: ", "))")
  }

  /// Opens one component's directory.
  static func componentDirectory(
    _ directory: Directory, _ choice: WeightsChoice
  ) throws(FormatError) -> ModelCheckpoint {
    let configuration = try Configuration(
      AuxiliaryFile(path: "config.json", at: "\(directory.path)/config.json"))
    let name =
      NetworkDescriptor(className: configuration.architecture)?.component
      ?? (HubCache.isSnapshot(directory)
        ? FamilyLayout.name(ofClass: configuration.architecture) ?? .model : nil)
      ?? ComponentName(rawValue: directory.name)
    guard name.isValid, let weights = directory.weights(choice) else {
      if let variant = choice.variant {
        throw noVariant(variant, directory.variants, directory.path)
      }
      throw try directory.onnxExport() ?? withoutWeights(directory, name)
    }
    var warnings = directory.danglingLinks.map(\.sentence)
    if let note = onlyVariant(weights, choice) { warnings.append(note) }
    let files = try auxiliaryFiles(of: directory, name: name, warnings: &warnings)
    let component = try component(directory, weights, name: name, warnings: &warnings)
    let unread = directory.unread(except: [weights.file] + component.files, below: "")
    return ModelCheckpoint(
      path: directory.path, layout: .component, components: FamilyLayout.parts(of: component),
      files: files, warnings: warnings, unreadWeights: unread,
      otherFiles: directory.others(than: files, below: "\(name)/"))
  }

  private static func component(
    _ directory: Directory, _ weights: WeightsName, name: ComponentName,
    listedClass: String? = nil, warnings: inout [String]
  ) throws(FormatError) -> Component {
    guard directory.contains("config.json") else {
      if var error = directory.danglingLink("config.json") {
        error.context = name.rawValue
        throw error
      }
      throw FormatError(
        .notFound, "the repository lacks the configuration of its \(name.title)",
        file: "\(directory.path)/config.json", context: name.rawValue,
        hint: "download \(name)/config.json of the model's repository to this place")
    }
    let configuration = try Configuration(
      AuxiliaryFile(path: "\(name)/config.json", at: "\(directory.path)/config.json"))
    let file = try TensorFile.open("\(directory.path)/\(weights.file)")
    warnings += file.warnings.map { "\(name): \($0)" }
    return Component(
      name: name, architecture: configuration.architecture ?? listedClass,
      configuration: configuration, path: file.path, files: file.files,
      format: file.format, metadata: file.metadata, tensors: file.tensors,
      findings: FileFindings(file))
  }

  /// The required networks of a repository: Stable Diffusion's three; if the index lists others,
  /// those of the three and their replacements that it lists.
  private static func required(_ listed: [String: String]) -> [ComponentName] {
    let main = [ComponentName.unet, .transformer].filter { listed[$0.rawValue] != nil }
    guard !main.isEmpty else { return ComponentName.required }
    return ComponentName.required.filter { listed[$0.rawValue] != nil }
      + main.filter { $0 != .unet }
  }

  /// The classes that `model_index.json` gives, by component.
  private static func listedComponents(_ index: JSONObject) -> [String: String] {
    var classes: [String: String] = [:]
    for member in index.members where !member.key.hasPrefix("_") {
      guard let pair = member.value.array, pair.count == 2, let name = pair[1].string else {
        continue
      }
      classes[member.key] = name
    }
    return classes
  }

  /// Whether a directory that `model_index.json` does not list still belongs to the pipeline.
  private static func isPart(_ directory: Directory) -> Bool {
    let known = ["config.json", "scheduler_config.json"] + TokenizerFiles.marks
    return !directory.weights.isEmpty || known.contains(where: directory.contains)
  }

  /// The files of a component besides its weights: configurations and tokenizer files.
  private static func auxiliaryFiles(
    of directory: Directory, name: ComponentName, warnings: inout [String]
  ) throws(FormatError) -> [AuxiliaryFile] {
    var files: [AuxiliaryFile] = []
    let isTokenizer = name.rawValue.hasPrefix(TokenizerFiles.directory)
    for entry in directory.files
    where entry.hasSuffix(".json") && !WeightsName.isIndex(entry) || entry.hasSuffix(".txt")
      || isTokenizer && TokenizerFiles.isPart(entry)
    {
      let file = try AuxiliaryFile(path: "\(name)/\(entry)", at: "\(directory.path)/\(entry)")
      if file.byteCount <= AuxiliaryFile.sizeLimit {
        files.append(file)
      } else {
        warnings.append("\(file.path): left out, since it is larger than any such file is")
      }
    }
    return files
  }

  private static func requireDirectory(
    of name: ComponentName, in root: Directory
  ) throws(FormatError) {
    guard !root.directories.contains(name.rawValue) else { return }
    if let error = root.danglingLink(name.rawValue) { throw error }
    if let error = try root.onnxExport() { throw error }
    throw FormatError(
      .notFound, "the repository lacks its \(name.title): there is no directory \(name)",
      file: root.path, context: name.rawValue,
      hint:
        "download \(name)/ of the model's repository to \(root.path)/\(name)/, or give the path "
        + "of one component's directory or file")
  }

  private static func withoutWeights(_ directory: Directory, _ name: ComponentName) -> FormatError {
    if var error = directory.danglingWeights {
      error.context = name.rawValue
      return error
    }
    let variants = directory.variants
    return FormatError(
      .notFound, "the \(name.title) has no weights: \(found(directory))", file: directory.path,
      context: name.rawValue,
      hint: variants.isEmpty
        ? "download diffusion_pytorch_model.safetensors (or for a text encoder "
          + "model.safetensors) of the model's repository to this directory"
        : "pass \(set: .variant, variants[0])"
          + (variants.count > 1 ? " (there are \(variants.joined(separator: ", ")))" : ""))
  }

  private static func found(_ directory: Directory) -> String {
    let names = directory.possibleWeights
    if names.isEmpty { return "the directory contains no weights file" }
    return "of the files \(names.joined(separator: ", ")) there is no complete weights file"
  }
}
