import Checkpoint
import ModelFormats

extension TextualInversion {
  /// The vectors of a trigger word in a LoRA file.
  ///
  /// - Parameter path: the file.
  /// - Throws: ``FormatError`` `mismatch` unless they are one tensor of vectors, with finite values.
  init(_ bundled: BundledEmbedding, path: String) throws(FormatError) {
    guard bundled.tensors.count == 1, let tensor = bundled.tensors.first,
      (1...2).contains(tensor.shape.rank), tensor.elementCount > 0,
      Cast.sources.contains(tensor.dtype)
    else {
      throw FormatError(
        .mismatch, "it is not one tensor of vectors for one text encoder", file: path,
        context: bundled.word)
    }
    try self.init(token: bundled.word, tensor: tensor, path: path)
  }
}
