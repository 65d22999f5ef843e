/// A format for writing tensors, and its limits.
public enum WritableFormat: String, Sendable, CaseIterable {
  case safetensors
  case pytorch
  case gguf

  /// Its name in messages.
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

  /// The size of the tensor's values in a file of this format.
  ///
  /// - Throws: ``FormatError`` `unsupported` with the tensor's name if the format does not support
  ///   its dtype, rank or size; the hint lists formats that do.
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
  /// The error for two tensors with one name, which no format allows.
  static func duplicate(_ name: String) -> FormatError {
    FormatError(
      .mismatch, "duplicate tensor name", context: name,
      hint: "rename or leave out one of them")
  }
}
