import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON

extension WeightPlacement {
  /// Writes the values of ``copies``, each at its offset, cast to ``dtype``.
  ///
  /// After the first value out of range, nothing more is written, but all tensors are examined, so
  /// that the error counts and names them all.
  ///
  /// - Parameters:
  ///   - saturating: whether values out of range of F16 are clamped.
  ///   - updates: the updates of a parameter's values.
  ///   - tensor: reads a parameter; one at a time is held.
  ///   - progress: called after each tensor with the bytes done.
  /// - Returns: the tensors with clamped values.
  /// - Throws: ``FormatError`` `mismatch` if values exceed F16, `inputOutput`, or what `tensor`
  ///   throws.
  func copy(
    to writer: FileWriter, saturating: Bool, updates: (Parameter) -> [WeightUpdate] = { _ in [] },
    tensor: (Parameter) throws(FormatError) -> Tensor, progress: (Int) -> Void
  ) throws(FormatError) -> [ExportReport.Saturation] {
    var overflows: [ExportReport.Saturation] = []
    // The file with the first of them.
    var overflowingFile: String?
    for copy in copies {
      let tensor = try tensor(copy.parameter)
      let updates = updates(copy.parameter)
      let offset = copy.offset
      let isWanted = saturating || overflows.isEmpty
      if isWanted { try writer.write([UInt8](repeating: 0, count: offset - writer.position)) }
      if isWanted, updates.isEmpty, dtype == tensor.dtype,
        case .mapped(let file, let start) = tensor.storage
      {
        try writer.copy(start..<(start + tensor.byteCount), of: file)
        progress(writer.position)
        continue
      }
      let count = try tensor.withSaturatedPieces(as: dtype, adding: updates) {
        (piece) throws(FormatError) in
        if isWanted { try writer.write(piece) }
      }
      if count > 0 {
        if overflows.isEmpty { overflowingFile = tensor.file?.path }
        overflows.append(ExportReport.Saturation(name: copy.name, count: count))
      }
      progress(offset + (tensor.shape.byteCount(of: dtype) ?? 0))
    }
    guard !saturating, let first = overflows.first else { return overflows }
    let shown = overflows.prefix(20).map { "\($0.name) (\($0.count))" }.joined(separator: ", ")
    throw FormatError(
      .mismatch,
      (overflows.reduce(0) { $0 + $1.count }).of("value") + " of " + overflows.count.of("tensor")
        + " are \(Cast.overflowReason(dtype)): \(shown)" + (overflows.count > 20 ? ", …" : ""),
      file: overflowingFile, context: first.name,
      hint: dtype == .float32
        ? Cast.overflowHint(dtype, verb: "export")
        : "export as f32, or pass \(set: .saturate) to make them \(Cast.largest(of: dtype))")
  }
}
