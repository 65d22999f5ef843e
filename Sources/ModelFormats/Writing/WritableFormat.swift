/// A format that tensors are written in, and what it cannot hold.
public enum WritableFormat: String, Sendable, CaseIterable {
  case safetensors
  case pytorch
  case gguf

  /// As texts call it.
  public var name: String {
    switch self {
    case .safetensors: "safetensors"
    case .pytorch: "PyTorch"
    case .gguf: "GGUF"
    }
  }

  /// Whether the format has a type for these elements.
  public func holds(_ dtype: DType) -> Bool {
    switch self {
    case .safetensors: dtype.isSafetensors
    case .pytorch: dtype.torchStorage != nil || dtype.torchName != nil
    case .gguf: GGUFWriter.types[dtype] != nil
    }
  }

  /// The bytes that the tensor's values take in a file of this format.
  ///
  /// - Throws: ``FormatError`` `unsupported` naming the tensor where the format has no such dtype,
  ///   rank or size, with the formats that have as the hint.
  @discardableResult
  public func byteCount(of tensor: TensorInfo) throws(FormatError) -> Int {
    guard holds(tensor.dtype) else {
      let others = WritableFormat.allCases.filter { $0.holds(tensor.dtype) }.map(\.name)
      throw FormatError(
        .unsupported, "\(name) has no type for \(tensor.dtype.rawValue)", context: tensor.name,
        hint: others.isEmpty
          ? "leave the tensor out: no format that is written here holds \(tensor.dtype.rawValue)"
          : "write \(others.joined(separator: " or ")), which holds \(tensor.dtype.rawValue), or leave "
            + "the tensor out")
    }
    if self == .gguf, tensor.shape.rank > GGUF.rankLimit {
      throw FormatError(
        .unsupported,
        "GGUF holds \(GGUF.rankLimit) dimensions at most; this has \(tensor.shape.rank)",
        context: tensor.name, hint: "write safetensors or PyTorch, or leave the tensor out")
    }
    guard let byteCount = tensor.shape.byteCount(of: tensor.dtype) else {
      throw FormatError(
        .unsupported,
        "\(tensor.shape) elements of \(tensor.dtype.rawValue) have no size in whole bytes",
        context: tensor.name, hint: "leave the tensor out, or pad it to whole bytes")
    }
    return byteCount
  }
}

extension FormatError {
  /// Two tensors of one name, which no format holds.
  static func duplicate(_ name: String) -> FormatError {
    FormatError(
      .mismatch, "duplicate tensor name", context: name,
      hint: "rename or leave out one of them")
  }
}
