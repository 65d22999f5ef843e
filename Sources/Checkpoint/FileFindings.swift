import ModelFormats

/// What files of weights hold beside their tensors: values that are not read, and what their pickles
/// name.
public struct FileFindings: Sendable, Hashable {
  /// Values that are not among the tensors.
  public private(set) var unread: [UnreadValues] = []
  /// Classes and functions that the files' pickles name and that are known to do harm.
  public private(set) var dangerousNames: [String] = []
  /// Those of which nothing is known.
  public private(set) var unknownNames: [String] = []
  /// Plain values beside the tensors, the first of each file.
  public private(set) var values: [PlainValue] = []

  init() {}

  init(_ file: TensorFile) {
    unread = file.unread
    values = file.values.map { PlainValue(name: $0.name, text: $0.text) }
    dangerousNames = file.pickleNames.dangerous
    unknownNames = file.pickleNames.unknown
  }

  mutating func add(_ other: FileFindings) {
    unread += other.unread
    values += other.values
    dangerousNames += other.dangerousNames.filter { !dangerousNames.contains($0) }
    unknownNames += other.unknownNames.filter { !unknownNames.contains($0) }
  }
}

/// A value of a PyTorch file that is no tensor and holds none: `epoch`, `global_step`, ….
public struct PlainValue: Sendable, Hashable {
  /// Where it lies: keys joined with a full stop.
  public let name: String
  /// The value as text, cut where it is long.
  public let text: String
}
