import Checkpoint
import ModelFormats
import OrderedJSON

extension WeightPlacement {
  /// Writes the values of ``copies``, each at its offset, cast to ``dtype``.
  ///
  /// After the first value out of range, nothing more is written, but all tensors are examined, so
  /// that the error counts and names them all.
  ///
  /// - Parameters:
  ///   - saturating: whether values out of range of F16 are clamped.
  ///   - progress: called after each tensor with the bytes done.
  /// - Returns: the tensors with clamped values.
  /// - Throws: ``FormatError`` `mismatch` if values exceed F16, `inputOutput`.
  func copy(
    to writer: FileWriter, saturating: Bool, progress: (Int) -> Void
  ) throws(FormatError) -> [ExportReport.Saturation] {
    var overflows: [ExportReport.Saturation] = []
    for copy in copies {
      let (tensor, offset) = (copy.tensor, copy.offset)
      let isWanted = saturating || overflows.isEmpty
      if isWanted { try writer.write([UInt8](repeating: 0, count: offset - writer.position)) }
      if isWanted, copy.updates.isEmpty, dtype == tensor.dtype,
        case .mapped(let file, let start) = tensor.storage
      {
        try writer.copy(start..<(start + tensor.byteCount), of: file)
        progress(writer.position)
        continue
      }
      let count = try tensor.withSaturatedPieces(as: dtype, adding: copy.updates) {
        (piece) throws(FormatError) in
        if isWanted { try writer.write(piece) }
      }
      if count > 0 { overflows.append(ExportReport.Saturation(name: tensor.name, count: count)) }
      progress(offset + (tensor.shape.byteCount(of: dtype) ?? 0))
    }
    guard !saturating, let first = overflows.first else { return overflows }
    let shown = overflows.prefix(20).map { "\($0.name) (\($0.count))" }.joined(separator: ", ")
    throw FormatError(
      .mismatch,
      (overflows.reduce(0) { $0 + $1.count }).of("value") + " of " + overflows.count.of("tensor")
        + " are \(Cast.overflowReason(dtype)): \(shown)" + (overflows.count > 20 ? ", …" : ""),
      file: copies.first { $0.tensor.name == first.name }?.tensor.file?.path, context: first.name,
      hint: dtype == .float32
        ? Cast.overflowHint(dtype, verb: "export")
        : "export as f32, or pass \(set: .saturate) to make them \(Cast.largest(of: dtype))")
  }
}
