import OrderedJSON

/// Writes a file whose tensor list is known first and whose values are then streamed, one tensor
/// after another.
public protocol TensorWriter: AnyObject {
  /// The tensors, in the order in which their values must be written.
  var tensors: [TensorInfo] { get }

  /// Appends contiguous little-endian values: those of the first tensor, then those of the next,
  /// in pieces of any size.
  ///
  /// - Throws: ``FormatError`` with code `inputOutput`, after which the writer cannot commit.
  func write(_ bytes: UnsafeRawBufferPointer) throws(FormatError)

  /// Completes the file and moves it to its path.
  ///
  /// - Throws:
  ///   ``FormatError`` with code `mismatch` if values are missing, or as ``FileWriter/commit()``.
  func commit() throws(FormatError)
}

extension TensorWriter {
  /// Writes the values of all tensors and commits.
  ///
  /// - Parameters:
  ///   - sources: tensors with the names, types and shapes of ``tensors``, in any order.
  ///   - progress: called with the bytes of values written so far and their total.
  public func write(
    _ sources: [Tensor], progress: (_ written: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(FormatError) {
    let byName = Dictionary(
      sources.map { (ExactName($0.name), $0) }, uniquingKeysWith: { first, _ in first })
    let total = sources.reduce(0) { $0 + $1.byteCount }
    var written = 0
    for info in tensors {
      guard let tensor = byName[ExactName(info.name)] else { continue }
      var position = 0
      try unsafe tensor.withContiguousPieces(limit: FileWriter.pieceSize) {
        (piece) throws(FormatError) in
        try unsafe write(piece)
        written += piece.count
        if case .mapped(let file, let offset) = tensor.storage {
          // Written data is not needed again; this keeps memory small in a large copy.
          let begin = offset + position
          file.releasePages(in: begin..<(begin + piece.count))
        }
        position += piece.count
        progress(written, total)
      }
    }
    try commit()
  }
}
