import OrderedJSON

/// An open checkpoint file: its format, its metadata and its tensors in file order.
public struct TensorFile: Sendable {
  /// A format that is read, as JSON names it; each format's own file declares it.
  public struct Format: RawRepresentable, Sendable, Hashable {
    /// The name in JSON.
    public let rawValue: String

    /// The format of that name; whether there is one is not checked.
    public init(rawValue: String) {
      self.rawValue = rawValue
    }
  }

  /// The file that was opened; for shards, the index.
  public let path: String
  /// The files that contain the tensors: only `path`, or an index's shards, or an ONNX model and
  /// its external data.
  public let files: [String]
  /// The format of the content.
  public let format: Format
  /// Entries in file order: safetensors `__metadata__`, GGUF's key-value pairs, properties of an
  /// ONNX model; empty for other formats.
  public let metadata: [(key: String, value: String)]
  /// The tensors, in the order of the file.
  public let tensors: [Tensor]
  /// Warnings about a usable file: dangerous globals, opaque objects.
  public private(set) var warnings: [String]
  /// Values that are not among the tensors.
  public let unread: [UnreadValues]
  /// What unpickling the file would run.
  public private(set) var safety: Safety
  /// Values other than tensors in a PyTorch file's dictionaries, the first few near the top: `step`
  /// and `1`.
  package let values: [(name: String, text: String)]
  private let index: [ExactName: Int]

  public init(
    path: String, format: Format, metadata: [(key: String, value: String)] = [],
    tensors: [Tensor], warnings: [String] = [], files: [String]? = nil,
    unread: [UnreadValues] = [], safety: Safety = Safety()
  ) {
    self.init(
      path: path, format: format, metadata: metadata, tensors: tensors, warnings: warnings,
      files: files, unread: unread, safety: safety, values: [])
  }

  init(
    path: String, format: Format, metadata: [(key: String, value: String)] = [],
    tensors: [Tensor], warnings: [String], files: [String]? = nil,
    unread: [UnreadValues], safety: Safety = Safety(),
    values: [(name: String, text: String)]
  ) {
    self.values = values
    self.path = path
    self.files = files ?? [path]
    self.format = format
    self.metadata = metadata
    self.tensors = tensors
    self.warnings = warnings
    self.unread = unread
    self.safety = safety
    index = Dictionary(
      tensors.enumerated().map { (ExactName($1.name), $0) }, uniquingKeysWith: { first, _ in first }
    )
  }

  /// A file with the tensors of a pickle's object.
  init(
    _ object: TorchObject<some TorchStorageSource>, of file: MappedFile, warnings: [String] = []
  ) {
    self.init(
      path: file.path, format: .pytorch, tensors: object.tensors,
      warnings: object.warnings + warnings, unread: object.unread + object.unusedStorages,
      values: object.values)
  }

  /// A copy with the result of the safety scan, which comes first in its warnings.
  func judged(_ safety: Safety) -> TensorFile {
    var file = self
    file.safety = safety
    file.warnings = safety.sentences + warnings
    return file
  }

  /// The tensor with this name.
  public subscript(name: String) -> Tensor? {
    index[ExactName(name)].map { tensors[$0] }
  }
}
