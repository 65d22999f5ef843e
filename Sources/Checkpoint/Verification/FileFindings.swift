import ModelFormats

/// The contents of weights files besides tensors: unread values, and names in pickles.
public struct FileFindings: Sendable, Hashable {
  /// Values that are not among the tensors.
  public private(set) var unread: [UnreadValues] = []
  /// Plain values other than tensors, the first of each file.
  public private(set) var values: [PlainValue] = []
  /// What unpickling the files would run.
  public private(set) var safety = Safety()

  init() {}

  init(_ file: TensorFile) {
    unread = file.unread
    values = file.values.map { PlainValue(name: $0.name, text: $0.text) }
    safety = file.safety
  }

  mutating func add(_ other: FileFindings) {
    unread += other.unread
    values += other.values
    safety.add(other.safety)
  }
}

/// A value in a PyTorch file that neither is nor contains a tensor: `epoch`, `global_step`, ….
public struct PlainValue: Sendable, Hashable {
  /// Its path: keys joined with dots.
  public let name: String
  /// The value as text, shortened if long.
  public let text: String
}
