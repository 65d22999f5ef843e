import ModelFormats
import ModelGraph
import OrderedJSON

/// The conversion of a checkpoint to another layout: first a plan, which can be printed, then its
/// execution.
public struct Conversion: Sendable {
  /// One component, or several that go into one file: tensors in the order of writing.
  public struct Part: Sendable {
    /// The component that is written.
    public let component: Component
    /// The output file, inside the target if that is a directory.
    public let output: String
    /// Each of its tensors.
    public let tensors: [Step]
    /// The object of a PyTorch file, unless the target implies it.
    var object: TorchWriter.Object?

    /// Bytes of the values passed to the target.
    public var byteCount: Int { tensors.reduce(0) { $0 + $1.byteCount } }
    /// Bytes in the target.
    public var storedByteCount: Int { tensors.reduce(0) { $0 + $1.storedByteCount } }
  }

  /// The progress of an execution.
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
  /// Small files to copy, embed or create.
  public let files: [AuxiliaryFile]
  /// Tensors of the source that are not written.
  public let drops: [Drop]
  /// Notes for the user before starting.
  public let notes: [String]
  /// What the target will lack, making it less useful.
  public let warnings: [String]
  /// A metadata entry to add to a single file with the prediction type.
  let predictionMark: (key: String, value: String)?
  /// Whether the target is a directory.
  public let isDirectory: Bool
  let container: Container
  /// The source files of everything that is written, each once.
  let sourceFiles: [String]

  /// Plans the conversion of `source` to `target` at `path`; nothing is written.
  ///
  /// - Throws: ``FormatError`` `unsupported` for an invalid target dtype, or an unknown network
  ///   that the target needs to know; `mismatch` if a component or tensors of a known network are
  ///   missing.
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

  /// Bytes of values to convert.
  public var byteCount: Int { parts.reduce(0) { $0 + $1.byteCount } }
  /// Bytes of tensors in the target.
  public var storedByteCount: Int { parts.reduce(0) { $0 + $1.storedByteCount } }
}
