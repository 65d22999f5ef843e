import ModelFormats

/// What files of weights hold beside their tensors: values that are not read, and what their pickles
/// name.
public struct FileFindings: Sendable, Hashable {
  /// Values that are not among the tensors.
  public private(set) var unread: [UnreadValues] = []
  /// What unpickling the files would run.
  public private(set) var safety = Safety()

  init() {}

  init(_ file: TensorFile) {
    unread = file.unread
    safety = file.safety
  }

  mutating func add(_ other: FileFindings) {
    unread += other.unread
    safety.add(other.safety)
  }
}
