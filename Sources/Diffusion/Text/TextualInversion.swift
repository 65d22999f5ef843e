import Checkpoint
import ModelFormats

/// Learned vectors that stand in a prompt for a token of their own.
///
/// Source: Gal et al., "An Image is Worth One Word" (2022). Read are the files of the AUTOMATIC1111
/// web UI (`string_to_param` in a `.pt`, `emb_params` in a safetensors file) and of diffusers (the
/// token's own name).
public struct TextualInversion: Sendable, Hashable {
  /// What stands for it in a prompt.
  public let token: String
  public let path: String
  /// How many vectors there are, and the numbers of each.
  public let count: Int
  public let width: Int
  /// `[count, width]`
  public let vectors: [Float]
  /// What is odd about the file: classes in a pickle that do harm, above all.
  public let warnings: [String]

  /// Reads a file.
  ///
  /// - Parameters:
  ///   - token: what stands for it in a prompt; where nil the name that the file gives, or else the
  ///     file's own name without what follows its first dot.
  /// - Throws: ``FormatError`` `mismatch` where the file holds no vectors, or more than one token's.
  public init(_ path: String, token: String? = nil) throws(FormatError) {
    let file = try TensorFile.open(path)
    let learned = file.tensors.filter {
      $0.name == "emb_params" || $0.name.hasPrefix("string_to_param.")
    }
    let candidates =
      learned.isEmpty ? file.tensors.filter { $0.dtype.isFloatingPoint } : learned
    guard candidates.count == 1, let tensor = candidates.first,
      (1...2).contains(tensor.shape.rank), tensor.elementCount > 0,
      !tensor.name.hasSuffix(".weight"), learned.count == 1 || !tensor.name.isEmpty
    else {
      throw FormatError(
        .mismatch,
        candidates.count > 1
          ? "the file holds \(candidates.count) tensors, not one token's vectors"
          : "the file holds no vectors of a textual inversion", file: path,
        hint: "give a file with string_to_param, emb_params or one token's name, as web UIs and"
          + " diffusers write it")
    }
    guard Cast.types.contains(tensor.dtype) else {
      throw FormatError(
        .mismatch, "the vectors are \(tensor.dtype.rawValue), not floating-point numbers",
        file: path, context: tensor.name)
    }
    width = tensor.shape[tensor.shape.rank - 1]
    count = tensor.elementCount / width
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
    guard values.allSatisfy(\.isFinite) else {
      throw FormatError(
        .mismatch, "the tensor holds values that are not finite", file: path, context: tensor.name)
    }
    vectors = values
    warnings = file.warnings
    self.path = path
    let name = path[(path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex)...]
    let stem = String(name.prefix { $0 != "." })
    let chosen = token ?? (learned.isEmpty ? tensor.name : stem)
    guard chosen.contains(where: { !$0.isWhitespace }) else {
      throw FormatError(
        .mismatch, "no name follows from this file", file: path, hint: "give one: FILE:NAME")
    }
    self.token = chosen
  }
}
