import Checkpoint
import ModelFormats

extension TextualInversion {
  /// The vectors of a LoRA file's word.
  ///
  /// - Parameter path: the file.
  /// - Throws: ``FormatError`` `mismatch` unless they are one tensor of vectors, with finite values.
  init(_ bundled: BundledEmbedding, path: String) throws(FormatError) {
    guard bundled.tensors.count == 1, let tensor = bundled.tensors.first,
      (1...2).contains(tensor.shape.rank), tensor.elementCount > 0,
      Cast.types.contains(tensor.dtype)
    else {
      throw FormatError(
        .mismatch, "it is not one tensor of vectors for one text encoder", file: path,
        context: bundled.word)
    }
    let width = tensor.shape[tensor.shape.rank - 1]
    let count = tensor.elementCount / width
    guard count <= 1024, width <= 65_536 else {
      throw FormatError(
        .mismatch, "the tensor is \(tensor.shape), more than a prompt's vectors", file: path,
        context: tensor.name)
    }
    var values: [Float] = []
    values.reserveCapacity(tensor.elementCount)
    try tensor.withPieces(as: .float32) { bytes in
      for offset in stride(from: 0, to: bytes.count, by: 4) {
        values.append(bytes.loadUnaligned(fromByteOffset: offset, as: Float.self))
      }
    }
    guard values.allSatisfy(\.isFinite), bundled.word.contains(where: { !$0.isWhitespace }) else {
      throw FormatError(
        .mismatch, "its vectors or its name are not sound", file: path, context: tensor.name)
    }
    token = bundled.word
    self.path = path
    (self.count, self.width) = (count, width)
    vectors = values
    warnings = []
  }
}
