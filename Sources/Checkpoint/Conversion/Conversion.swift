import ModelFormats
import ModelGraph
import OrderedJSON

/// A conversion of a checkpoint to another layout: first a plan, which can be printed, then its
/// execution.
public struct Conversion: Sendable {
  /// One component on its way, or several that go into one file: tensors in the order in which they
  /// are written.
  public struct Part: Sendable {
    /// The component that is written.
    public let component: Component
    /// The file that is written, inside the target where that is a directory.
    public let output: String
    /// Each of its tensors.
    public let tensors: [Step]
    /// The object that a PyTorch file holds, where the target does not say.
    var object: TorchWriter.Object?

    /// Bytes of the values as they are given to the target.
    public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }
    /// Bytes that the target stores.
    public var storedByteCount: Int { tensors.reduce(0) { $0 + $1.storedByteCount } }
  }

  /// How far an execution has come.
  public struct Progress: Sendable {
    /// Bytes of values written so far.
    public let bytesDone: Int
    /// All bytes of values.
    public let bytesTotal: Int
    /// The component being written.
    public let component: ComponentName
    /// The tensor being written.
    public let tensor: String
  }

  /// The checkpoint that is converted.
  public let source: ModelCheckpoint
  /// The layout that is written.
  public let target: Target
  /// The file or directory that is written.
  public let path: String
  /// What was asked for.
  public let options: Options
  /// What is written, by component.
  public let parts: [Part]
  /// Small files that are copied, embedded or made.
  public let files: [AuxiliaryFile]
  /// Tensors of the source that are not written.
  public let drops: [Drop]
  /// What a person should know before starting.
  public let notes: [String]
  /// What the target will lack, so that it is of less use.
  public let warnings: [String]
  /// What the metadata of a single file gains to say what the model predicts.
  let predictionMark: (key: String, value: String)?
  /// Whether the target is a directory.
  public let isDirectory: Bool
  let container: Container
  /// The files of the source that hold what is written, each once.
  let sourceFiles: [String]

  /// Plans the conversion of `source` to `target` at `path`; nothing is written.
  ///
  /// - Throws: ``FormatError`` `unsupported` for a type that is no target of casts, or a network that
  ///   the target needs to know and that is not; `mismatch` where a component is not there or
  ///   tensors of a known network are missing.
  public init(
    of source: ModelCheckpoint, to target: Target, at path: String, options: Options = Options()
  ) throws(FormatError) {
    if let dtype = options.dtype, !Cast.types.contains(dtype) {
      throw FormatError(
        .unsupported, "tensors are not cast to \(dtype.rawValue)",
        hint: "choose one of f32, f16 and bf16")
    }
    guard !options.quantize || target == .gguf else {
      throw FormatError(
        .unsupported, "only GGUF files hold Q8_0",
        hint: "pass \(set: .layout, "gguf"), or another \(set: .dtype)")
    }
    var planner = try ConversionPlanner(source, target, options, path: path)
    let parts = try planner.parts()
    try Conversion.requireAccounted(
      source, parts, planner.maker.drops, chosen: options.components,
      useAverages: options.useAverages)
    try Conversion.checkTypes(of: parts, in: planner.container, source)
    self.parts = parts
    isDirectory = planner.isDirectory
    container = planner.container
    files = planner.files
    drops = planner.maker.drops
    notes = planner.notes
    warnings = planner.fileWarnings + planner.metadataLoss
    predictionMark = planner.predictionMark
    var names: [String] = []
    for name in planner.components.flatMap(\.files) where !names.contains(name) {
      names.append(name)
    }
    sourceFiles = names
    self.source = source
    self.target = target
    self.path = path
    self.options = options
  }

  /// Bytes of values that go through the conversion.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }
  /// Bytes of tensors that the target stores.
  public var storedByteCount: Int { parts.reduce(0) { $0 + $1.storedByteCount } }
}
