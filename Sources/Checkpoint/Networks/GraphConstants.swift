import ModelFormats

/// The initializers of an ONNX model that are graph constants: shapes, scales and tables that nodes
/// read and that were not trained.
enum GraphConstants {
  /// The maximum number of tables examined per model, and of values per table.
  private static let tableLimit = 1024
  private static let valueLimit = 1 << 16

  /// - Parameter manifest: the network's manifest; nil if unknown.
  static func of(_ tensors: [Tensor], _ manifest: Manifest?) -> [Tensor] {
    if let manifest { return manifest.unexpected.filter(Leftover.isGraphConstant) }
    // For an unknown network: initializers that exporters name by a node's path, and values that an
    // exporter computed.
    var looks = tableLimit
    return tensors.filter { tensor in
      if tensor.name.hasPrefix("/") { return Leftover.isGraphConstant(tensor) }
      // Parameters keep their paths; transposed ones get a name without a path.
      guard tensor.dtype.isFloatingPoint, !tensor.name.contains(".") else { return false }
      // Single numbers with a numbered name; others may be learned: `logit_scale`.
      if tensor.elementCount <= 1 { return tensor.name.last?.isNumber ?? false }
      guard !tensor.name.hasPrefix("onnx::"), tensor.elementCount <= valueLimit, looks > 0 else {
        return false
      }
      looks -= 1
      return isTable(tensor)
    }
  }

  /// Whether values look computed by an exporter: all 0 or all 1 (a norm without weights), 0 and
  /// the smallest number (an attention mask), powers starting at 1 (embedding frequencies), 1, 1
  /// and factors (`Resize` scales).
  private static func isTable(_ tensor: Tensor) -> Bool {
    guard Cast.direct.contains(tensor.dtype), let values = try? tensor.singlePrecision(),
      let first = values.first, first == 0 || first == 1
    else { return false }
    if values.allSatisfy({ $0 == first }) { return true }
    if first == 0 { return values.allSatisfy { $0 == 0 || $0 <= -65_504 } }
    if tensor.shape.rank == 1, (3...5).contains(values.count), values[1] == 1 { return true }
    let ratio = values[1]
    return tensor.shape.dimensions.filter { $0 > 1 }.count == 1
      && zip(values, values.dropFirst()).allSatisfy { value, next in
        abs(next - value * ratio) <= 1e-4 * abs(value)
      }
  }
}
