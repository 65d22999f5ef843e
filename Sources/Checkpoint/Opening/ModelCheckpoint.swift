import FlatFormat
import ModelFormats
import OrderedJSON

/// A Stable Diffusion checkpoint opened for reading, whatever its layout: its components and the
/// small files beside them.
///
/// Opening reads headers and configurations only; values are read when they are asked for.
public struct ModelCheckpoint: Sendable {
  /// How the components lie on disk.
  public enum Layout: Sendable, Hashable {
    /// A repository directory: one directory per component.
    case repository
    /// One component's directory: weights with their `config.json`.
    case component
    /// One file of weights, of whichever networks.
    case file(TensorFile.Format)

    /// As `summary` spells it: `diffusers`, `component`, or the file's format.
    public var name: String {
      switch self {
      case .repository: "diffusers"
      case .component: "component"
      case .file(let format): format.rawValue
      }
    }
  }

  public let path: String
  public let layout: Layout
  public internal(set) var components: [Component]
  /// Configurations, vocabulary and merges, by their path in a repository.
  public internal(set) var files: [AuxiliaryFile]
  /// What a person should know though the checkpoint is usable.
  public internal(set) var warnings: [String]
  /// Weights of a repository that lie beside those that were read, by their path in it.
  public let unreadWeights: [UnreadWeights]
  /// What else lies in a repository and is not read, by its path in it: programs, licences, pictures;
  /// a directory with a slash at its end.
  let otherFiles: [String]
  /// What the files of weights hold beside their tensors.
  public let findings: FileFindings
  /// Where the tensors of a flat file came from, as its header tells it.
  package let provenance: JSON?
  /// Fields of a flat file's header that this program does not know.
  let extensions: FlatExtensions

  package init(
    path: String, layout: Layout, components: [Component], files: [AuxiliaryFile] = [],
    warnings: [String] = [], unreadWeights: [UnreadWeights] = [], otherFiles: [String] = [],
    provenance: JSON? = nil,
    extensions: FlatExtensions = FlatExtensions(), findings: FileFindings? = nil
  ) {
    var known = findings ?? FileFindings()
    if findings == nil { for component in components { known.add(component.findings) } }
    self.findings = known
    self.path = path
    self.layout = layout
    self.components = components
    self.files = files
    self.warnings =
      warnings
      + components.flatMap { ModelCheckpoint.warnings(of: $0) + $0.wrapperWarnings }
      + (UnreadValues.warning(known.unread).map { [$0] } ?? [])
    self.unreadWeights = unreadWeights
    self.otherFiles = otherFiles
    self.provenance = provenance
    self.extensions = extensions
  }

  /// Opens a repository directory, a component's directory, or a file of weights.
  ///
  /// A file's format is told by its content, never by its name.
  ///
  /// - Parameters:
  ///   - preferring: which weights to take where a directory holds the same in two formats.
  ///   - variant: as in `fp16`: take `diffusion_pytorch_model.fp16.safetensors` where a directory
  ///     has it.
  /// - Throws: ``FormatError`` `notFound`, also where a repository lacks a network, or nothing in it
  ///   has that variant; `malformed`
  ///   with file and byte where a configuration or a file of weights is broken; `unrecognized`.
  public static func open(
    _ path: String, preferring: WeightsFormat = .safetensors, variant: String? = nil
  ) throws(FormatError) -> ModelCheckpoint {
    guard let given = try Directory(path: path) else {
      guard let variant else { return try file(path) }
      throw FormatError(
        .mismatch, "a file has no variants, so none called \(variant)", file: path,
        hint: "pass the repository directory, or the file without \(set: .variant)")
    }
    let directory = try HubCache.snapshot(of: given)
    let choice = WeightsChoice(format: preferring, variant: variant)
    let unfinished = HubCache.warning(around: directory.path)
    do throws(FormatError) {
      var checkpoint = try open(directory, choice)
      checkpoint.warnings += unfinished
      return checkpoint
    } catch {
      guard error.code == .notFound || error.code == .unrecognized, let note = unfinished.first
      else { throw error }
      var error = error
      error.hint = (error.hint.map { "\($0); " } ?? "") + Remedy(note)
      throw error
    }
  }

  private static func open(
    _ directory: Directory, _ choice: WeightsChoice
  ) throws(FormatError) -> ModelCheckpoint {
    if directory.isRepository { return try repository(directory, choice) }
    if directory.contains("config.json") { return try componentDirectory(directory, choice) }
    if let error = directory.danglingLink("model_index.json")
      ?? directory.danglingLink("config.json") ?? directory.danglingWeights
    {
      throw error
    }
    if let error = try directory.onnxExport() { throw error }
    if directory.holdsNetworks { return try repository(directory, choice) }
    let weights = directory.possibleWeights
    throw FormatError(
      .unrecognized, "this directory holds neither model_index.json nor config.json",
      file: directory.path,
      hint: weights.isEmpty
        ? "pass a repository directory, a component's directory, or a weights file"
        : Remedy(
          "pass one of its files: "
            + weights.prefix(6).map { "\(directory.path)/\($0)" }.joined(separator: ", ")
            + (weights.count > 6 ? ", …" : "")))
  }

  /// The component of that name.
  public subscript(name: ComponentName) -> Component? {
    components.first { $0.name == name }
  }

  /// The component of that name, complete.
  ///
  /// - Throws: ``FormatError`` `mismatch` where the checkpoint has no such component or tensors of it
  ///   are missing, `unsupported` where its configuration is.
  public func require(_ name: ComponentName) throws(FormatError) -> Component {
    guard let component = self[name] else {
      let recognition = Recognition(self)
      let known = "its components: " + components.map(\.name.rawValue).joined(separator: ", ")
      throw FormatError(
        .mismatch, "the checkpoint has no \(name.title)", file: path, context: name.rawValue,
        hint: self[name.averages] != nil
          ? ModelCheckpoint.averagesHint
          : recognition.isDrawn
            || recognition.kind == .unknown && recognition.family.id == "other"
            ? Remedy(known) : "this is \(recognition.title), which is not supported here; \(known)")
    }
    try component.requireComplete()
    return component
  }

  /// What to do with a checkpoint that holds a network's averages only.
  static let averagesHint: Remedy =
    "it contains averaged weights (EMA) of it: \(do: .convert) with \(set: .useAverages) makes a "
    + "checkpoint of them"

  /// The file at that path of the repository, as in `tokenizer/vocab.json`.
  public func file(named path: String) -> AuxiliaryFile? {
    files.first { $0.path == path }
  }

  private static func warnings(of component: Component) -> [String] {
    let name = component.name.rawValue
    // What is missing and misshapen is packed.
    if !component.packed.isEmpty { return ["\(name): \(component.packed.description)"] }
    if let problem = component.graphProblem, component.configuration != nil {
      if let outline = component.outline, outline.isWhole {
        return outline.problems.map { "\(name): \($0)" }
      }
      return ["\(name): \(problem)"]
    }
    let problems =
      component.format == .onnx
      ? onnxWarnings(of: component) : component.manifest?.summedProblems ?? []
    return problems.map { "\(name): \($0)" } + unused(of: component) + doubled(component)
      + component.positionFaults.map { "\(name): \($0)" }
  }

  /// What a component holds under two names.
  private static func doubled(_ component: Component) -> [String] {
    guard let duplicates = component.manifest?.duplicates, let first = duplicates.first else {
      return []
    }
    let more = duplicates.count == 1 ? "" : " and \(duplicates.count - 1) more"
    return [
      "\(component.name): \(duplicates.count.of("tensor is", "tensors are")) "
        + "there under two names: \(first.tensor.displayName) is "
        + "\(first.original.displayName), which is read\(more)"
    ]
  }

  /// What of OpenCLIP's text encoder is there and not used.
  private static func unused(of component: Component) -> [String] {
    guard let tensors = component.manifest?.unused, !tensors.isEmpty else { return [] }
    let layers = tensors.filter { Leftover.unusedKind(of: $0.name) == .unusedLayers }
    let others = tensors.filter { Leftover.unusedKind(of: $0.name) == .contrastive }
    var parts = others.map(\.displayName)
    if !layers.isEmpty {
      parts.insert(
        "the \(layers.count.of("tensor")) behind the last layer that is used, from "
          + "\(layers[0].displayName) on", at: 0)
    }
    return [
      "\(component.name): Stable Diffusion 2 does not use all of OpenCLIP's text encoder: "
        + parts.joined(separator: ", ")
    ]
  }
}

/// Weights of a repository that were not read, since others of the same component were.
public struct UnreadWeights: Sendable, Hashable {
  /// As in `unet/diffusion_pytorch_model.fp16.safetensors`.
  public let path: String
  /// As in `safetensors`, `bin`, `gguf`.
  public let format: String
  public let variant: String?

  /// What the endings of files of weights say of their format.
  static let formats: [(ending: String, format: String)] = [
    (".safetensors", "safetensors"), (".bin", "bin"), (".ckpt", "pytorch"), (".pt", "pytorch"),
    (".pth", "pytorch"), (".gguf", "gguf"), (".sdflat", "sdflat"), (".msgpack", "flax"),
    (".h5", "hdf5"),
  ]

  var json: JSON {
    [
      "path": .string(path), "format": .string(format),
      "variant": variant.map { .string($0) } ?? .null,
    ]
  }
}
