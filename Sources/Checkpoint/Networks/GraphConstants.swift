import ModelFormats

/// The initializers of an ONNX model that are constants of its graph: shapes, scales and tables that
/// nodes read, which no one trained.
enum GraphConstants {
  /// Tables that are looked at in one model, and the most values that one may have.
  private static let tableLimit = 1024
  private static let valueLimit = 1 << 16

  /// - Parameter manifest: of the network; nil where it is not known.
  static func of(_ tensors: [Tensor], _ manifest: Manifest?) -> [Tensor] {
    if let manifest { return manifest.unexpected.filter(Leftover.isGraphConstant) }
    // Of a network that is not known, those that exporters name by a node's path, and what an
    // exporter computed.
    var looks = tableLimit
    return tensors.filter { tensor in
      if tensor.name.hasPrefix("/") { return Leftover.isGraphConstant(tensor) }
      // Parameters keep their paths; those that were transposed get a name without one.
      guard tensor.dtype.isFloatingPoint, !tensor.name.contains(".") else { return false }
      // Single numbers under a numbered name; others may be learned: `logit_scale`.
      if tensor.elementCount <= 1 { return tensor.name.last?.isNumber ?? false }
      guard !tensor.name.hasPrefix("onnx::"), tensor.elementCount <= valueLimit, looks > 0 else {
        return false
      }
      looks -= 1
      return isTable(tensor)
    }
  }

  /// Whether values are such as an exporter computes: all 0 or all 1 (a norm without weights), 0 and
  /// the least number (an attention mask), 1 and its powers (the frequencies of an embedding), 1, 1
  /// and factors (the scales of a `Resize`).
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
