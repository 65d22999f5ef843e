/// A format that tensors are written in, and what it cannot hold; each writer's own file declares it.
public struct WritableFormat: Sendable {
  /// The format that it is read as.
  public let format: TensorFile.Format
  /// As texts call it.
  public let name: String
  /// The most dimensions of a tensor; nil if there is no limit.
  let rankLimit: Int?
  private let hasType: @Sendable (DType) -> Bool

  init(
    _ format: TensorFile.Format, _ name: String, rankLimit: Int? = nil,
    hasType: @escaping @Sendable (DType) -> Bool
  ) {
    self.format = format
    self.name = name
    self.rankLimit = rankLimit
    self.hasType = hasType
  }

  /// Every format that is written.
  public static var all: [WritableFormat] {
    FormatDescriptor.all.compactMap(\.writing)
  }

  /// The one that writes this format; nil if none does.
  public init?(_ format: TensorFile.Format) {
    guard let match = Self.all.first(where: { $0.format == format }) else { return nil }
    self = match
  }

  /// Whether the format has a type for these elements.
  public func holds(_ dtype: DType) -> Bool { hasType(dtype) }

  /// The size of the tensor's values in a file of this format.
  ///
  /// - Throws: ``FormatError`` `unsupported` with the tensor's name if the format does not support
  ///   its dtype, rank or size; the hint lists formats that do.
  @discardableResult
  public func byteCount(of tensor: TensorInfo) throws(FormatError) -> Int {
    guard holds(tensor.dtype) else {
      let others = WritableFormat.all.filter { $0.holds(tensor.dtype) }.map(\.name)
      throw FormatError(
        .unsupported, "\(name) has no type for \(tensor.dtype.rawValue)", context: tensor.name,
        hint: others.isEmpty
          ? "drop the tensor; no supported output format has \(tensor.dtype.rawValue)"
          : "write \(others.joined(separator: " or ")), which holds \(tensor.dtype.rawValue), or leave "
            + "the tensor out")
    }
    if let rankLimit, tensor.shape.rank > rankLimit {
      let others = WritableFormat.all.filter { $0.rankLimit == nil }.map(\.name)
      throw FormatError(
        .unsupported,
        "\(name) supports up to \(rankLimit) dimensions (got \(tensor.shape.rank))",
        context: tensor.name,
        hint: "write \(others.joined(separator: " or ")), or drop the tensor")
    }
    guard let byteCount = tensor.shape.byteCount(of: tensor.dtype) else {
      throw FormatError(
        .unsupported,
        "\(tensor.shape) elements of \(tensor.dtype.rawValue) do not fill whole bytes",
        context: tensor.name, hint: "drop the tensor, or pad it to whole bytes")
    }
    return byteCount
  }
}

extension FormatError {
  /// The error for two tensors with one name, which no format allows.
  static func duplicate(_ name: String) -> FormatError {
    FormatError(
      .mismatch, "duplicate tensor name", context: name,
      hint: "rename or drop one of them")
  }
}
