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

  init() {}

  init(_ file: TensorFile) {
    unread = file.unread
    dangerousNames = file.pickleNames.dangerous
    unknownNames = file.pickleNames.unknown
  }

  mutating func add(_ other: FileFindings) {
    unread += other.unread
    dangerousNames += other.dangerousNames.filter { !dangerousNames.contains($0) }
    unknownNames += other.unknownNames.filter { !unknownNames.contains($0) }
  }
}
