import FlatFormat
import ModelFormats
import OrderedJSON

/// An open Stable Diffusion checkpoint in any layout: its components and small files.
///
/// Opening reads only headers and configurations; values are read on demand.
public struct ModelCheckpoint: Sendable {
  /// The layout of the components on disk.
  public enum Layout: Sendable, Hashable {
    /// A repository directory: one directory per component.
    case repository
    /// One component's directory: weights with their `config.json`.
    case component
    /// One weights file, with any networks.
    case file(TensorFile.Format)

    /// The name in `summary`: `diffusers`, `component`, or the file's format.
    public var name: String {
      switch self {
      case .repository: "diffusers"
      case .component: "component"
      case .file(let format): format.rawValue
      }
    }
  }

  /// The file or directory that was opened.
  public let path: String
  /// How it is laid out in files.
  public let layout: Layout
  /// What it consists of.
  public internal(set) var components: [Component]
  /// Configurations, vocabulary and merges, by their path in a repository.
  public internal(set) var files: [AuxiliaryFile]
  /// Warnings about a usable checkpoint.
  public internal(set) var warnings: [String]
  /// Weights in a repository that were not read, by path in it.
  public let unreadWeights: [UnreadWeights]
  /// Other unread contents of a repository, by path in it: programs, licenses, images; a directory
  /// ends in a slash.
  let otherFiles: [String]
  /// The contents of weights files besides their tensors.
  public let findings: FileFindings
  /// The provenance in a .sdflat file's header.
  package let provenance: JSON?
  /// Header fields of a .sdflat file that this version does not know.
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
      + components.flatMap {
        ModelCheckpoint.warnings(of: $0, among: components) + $0.wrapperWarnings
      }
      + (UnreadValues.warning(known.unread).map { [$0] } ?? [])
    self.unreadWeights = unreadWeights
    self.otherFiles = otherFiles
    self.provenance = provenance
    self.extensions = extensions
  }

  /// Opens a repository directory, a component's directory, or a weights file.
  ///
  /// A file's format is detected from its content, never from its name.
  ///
  /// - Parameters:
  ///   - preferring: the weights to use if a directory has two formats.
  ///   - variant: for example `fp16`: use `diffusion_pytorch_model.fp16.safetensors` if a directory
  ///     has it.
  ///     has it.
  /// - Throws: ``FormatError`` `notFound`, also if a repository lacks a network or has no such
  ///   variant; `malformed` with file and byte for an invalid configuration or weights file;
  ///   `unrecognized`.
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

  /// The component with this name.
  public subscript(name: ComponentName) -> Component? {
    components.first { $0.name == name }
  }

  /// The component with this name, complete.
  ///
  /// - Throws:
  ///   ``FormatError`` `mismatch` if the component or tensors of it are missing, `unsupported` if
  ///   its configuration is unsupported.
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

  /// The hint for a checkpoint with only EMA weights of a network.
  static let averagesHint: Remedy =
    "it contains averaged weights (EMA) of it: \(do: .convert) with \(set: .useAverages) makes a "
    + "checkpoint of them"

  /// The file at this path of the repository, such as `tokenizer/vocab.json`.
  public func file(named path: String) -> AuxiliaryFile? {
    files.first { $0.path == path }
  }

  /// Whether tensors outside the graph of a whole CLIP's text encoder are its projection alone, which
  /// belongs there.
  private static func isProjected(_ component: Component, _ components: [Component]) -> Bool {
    guard component.name == .textEncoder, components.contains(where: { $0.name == .imageEncoder }),
      let unexpected = component.manifest?.unexpected, unexpected.count == 1
    else { return false }
    return Leftover.isProjection(unexpected[0].name)
  }

  private static func warnings(of component: Component, among components: [Component]) -> [String] {
    let name = component.name.rawValue
    // Missing and misshapen tensors are packed.
    if !component.packed.isEmpty { return ["\(name): \(component.packed.description)"] }
    if let problem = component.graphProblem, component.configuration != nil {
      if let outline = component.outline, outline.isWhole {
        return outline.problems.map { "\(name): \($0)" }
      }
      return ["\(name): \(problem)"]
    }
    var problems =
      component.format == .onnx
      ? onnxWarnings(of: component) : component.manifest?.summedProblems ?? []
    // What is unexpected comes last.
    if isProjected(component, components) { problems.removeLast() }
    return problems.map { "\(name): \($0)" } + unused(of: component) + doubled(component)
      + component.positionFaults.map { "\(name): \($0)" }
  }

  /// Warnings about tensors stored under two names.
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

  /// Warnings about unused parts of OpenCLIP's text encoder.
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

/// Weights in a repository that were not read because others of the same component were.
public struct UnreadWeights: Sendable, Hashable {
  /// For example `unet/diffusion_pytorch_model.fp16.safetensors`.
  public let path: String
  /// For example `safetensors`, `bin`, `gguf`.
  public let format: String
  /// The variant in the file's name, as in `fp16`; nil for none.
  public let variant: String?

  /// What the endings of files of weights say of their format.
  static let formats: [(ending: String, format: String)] = FormatDescriptor.all
    .filter(\.isWeights)
    .flatMap { kind in
      kind.endings.map { ending in
        // diffusers tells `bin` from PyTorch's other endings.
        let own = WeightsFormat(rawValue: String(ending.dropFirst()))?.rawValue
        return (ending, own ?? kind.format?.rawValue ?? kind.name)
      }
    }

  var json: JSON {
    [
      "path": .string(path), "format": .string(format),
      "variant": variant.map { .string($0) } ?? .null,
    ]
  }
}
