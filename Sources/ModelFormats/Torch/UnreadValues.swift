import OrderedJSON

/// Values in a file that are not among its tensors: what a conversion would lose.
public struct UnreadValues: Sendable, Hashable {
  /// Why values are not read.
  public enum Kind: String, Sendable {
    /// A storage of a PyTorch file that no tensor uses.
    case storage
    /// A tensor of a kind or type that is not read.
    case tensor
  }

  /// Why they are not read.
  public let kind: Kind
  /// The record's, storage's or tensor's name.
  public let name: String
  /// Bytes in the file; 0 where they are counted elsewhere.
  public let byteCount: Int
  /// Why it is not read, in words.
  public let reason: String

  public init(_ kind: Kind, _ name: String, byteCount: Int, reason: String) {
    self.kind = kind
    self.name = name
    self.byteCount = byteCount
    self.reason = reason
  }

  static let unused = "no tensor uses this storage"

  /// What to say of the storages that no tensor uses; nil where there are none. Tensors that are not
  /// read are told one by one by their readers.
  public static func warning(_ values: [UnreadValues]) -> String? {
    let storages = values.filter { $0.kind == .storage }
    guard !storages.isEmpty else { return nil }
    let bytes = storages.reduce(0) { $0 + $1.byteCount }
    let shown = storages.prefix(3).map(\.name).joined(separator: ", ")
    let rest = storages.count > 3 ? " and \(storages.count - 3) more" : ""
    let count = storages.count.of("storage")
    return "\(count) (\(bytes.of("byte"))) not used by any tensor: \(shown)\(rest)"
  }
}
