import ModelFormats

/// What files of weights hold beside their tensors: values that are not read, and what their pickles
/// name.
public struct FileFindings: Sendable, Hashable {
  /// Values that are not among the tensors.
  public private(set) var unread: [UnreadValues] = []
  /// Plain values beside the tensors, the first of each file.
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

/// A value of a PyTorch file that is no tensor and holds none: `epoch`, `global_step`, ….
public struct PlainValue: Sendable, Hashable {
  /// Where it lies: keys joined with a full stop.
  public let name: String
  /// The value as text, cut where it is long.
  public let text: String
}
