import OrderedJSON

/// Values in a file outside its tensors, which a conversion would lose.
public struct UnreadValues: Sendable, Hashable {
  /// Why values are not read.
  public enum Kind: String, Sendable {
    /// A storage of a PyTorch file that no tensor uses.
    case storage
    /// A tensor of an unsupported kind or type.
    case tensor
  }

  /// Why they are not read.
  public let kind: Kind
  /// The name of the record, storage or tensor.
  public let name: String
  /// Bytes in the file; 0 if counted elsewhere.
  public let byteCount: Int
  /// The reason, in words.
  public let reason: String

  public init(_ kind: Kind, _ name: String, byteCount: Int, reason: String) {
    self.kind = kind
    self.name = name
    self.byteCount = byteCount
    self.reason = reason
  }

  static let unused = "no tensor uses this storage"

  /// A warning about storages that no tensor uses; nil if there are none. Readers report
  /// unsupported tensors individually.
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
