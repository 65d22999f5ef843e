import Checkpoint
import ModelFormats
import OrderedJSON

/// A textual inversion embedding: learned vectors for a trigger word in prompts.
///
/// Source: Gal et al., "An Image is Worth One Word" (2022). ``TextualInversionFile`` describes the
/// supported files.
public struct TextualInversion: Sendable, Hashable {
  /// The trigger word.
  public let token: String
  /// The file that it was read from.
  public let path: String
  /// The number of vectors, and their length.
  public let count: Int
  /// The width of a vector.
  public let width: Int
  /// `[count, width]`
  package let vectors: [Float]
  /// Warnings about the file, such as dangerous references in a pickle.
  public let warnings: [String]

  /// Creates an embedding from a tensor.
  ///
  /// - Parameters:
  ///   - token: the trigger word; not only white space.
  ///   - tensor: `[count, width]`, or one vector.
  ///   - path: its file, for errors.
  /// - Throws: ``FormatError`` `mismatch` if the tensor is not a list of vectors of finite
  ///   floating-point numbers, or has more than fit in a prompt.
  package init(
    token: String, tensor: Tensor, path: String, warnings: [String] = []
  ) throws(FormatError) {
    guard (1...2).contains(tensor.shape.rank), tensor.elementCount > 0 else {
      throw FormatError(
        .mismatch, "the tensor is \(tensor.shape), not a word's vectors", file: path,
        context: tensor.name)
    }
    guard Cast.sources.contains(tensor.dtype) else {
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
    guard token.contains(where: { !$0.isWhitespace }) else {
      throw FormatError(
        .mismatch, "no name follows from this file", file: path, hint: "give one: FILE:NAME")
    }
    vectors = values
    self.token = token
    self.path = path
    self.warnings = warnings
  }

  /// Reads a file with one trigger word.
  ///
  /// - Parameter token: the trigger word; nil uses the file's own word, otherwise the file name
  ///   without its extension.
  /// - Throws: as ``read(_:token:)``; ``FormatError`` `mismatch` also if there are several words.
  public init(_ path: String, token: String? = nil) throws(FormatError) {
    let words = try Self.read(path, token: token)
    guard words.count == 1 else {
      throw FormatError(
        .mismatch, "the file holds \(words.count.of("word")), not one", file: path,
        hint: "name one of them: FILE:WORD")
    }
    self = words[0]
  }

  /// Reads the trigger words of a file.
  ///
  /// - Parameter token: what stands for the vectors in a prompt; of a file of several words, the one
  ///   that is wanted. Where nil, the words that the file gives, or else the file's own name without
  ///   its ending.
  /// - Throws: ``FormatError`` `mismatch` where the file holds no textual inversion, not the word
  ///   that is wanted, or one for a model with other text encoders, which is named; `unsupported`
  ///   where it is in an image.
  public static func read(
    _ path: String, token: String? = nil
  ) throws(FormatError) -> [TextualInversion] {
    if let kind = try imageKind(path) {
      throw FormatError(
        .unsupported, "embeddings that are stored in an image (\(kind)) are not read", file: path,
        hint: "save the embedding as .safetensors or .pt with the program that made it")
    }
    let file = try TensorFile.open(path)
    guard let inversion = TextualInversionFile(file.tensors, isExpected: true) else {
      throw FormatError(
        .mismatch,
        file.tensors.count > 1
          ? "the file holds \(file.tensors.count.of("tensor")), not words' vectors"
          : "the file holds no vectors of a textual inversion", file: path,
        hint: "give a file with string_to_param, emb_params or tokens' names, as web UIs and"
          + " diffusers write it")
    }
    let encoders = inversion.entries.compactMap(\.encoder)
    guard encoders.isEmpty || encoders == ["clip_l"] else {
      throw FormatError(
        .mismatch,
        "the embedding is for \(inversion.family ?? "another model") (\(inversion.size)); this "
          + "model has one text encoder, CLIP's", file: path,
        hint: "give an embedding for Stable Diffusion 1.x or 2.x, as the model is")
    }
    var entries = inversion.entries
    if entries.count > 1, let token {
      entries = entries.filter { $0.word == token }
      guard !entries.isEmpty else {
        throw FormatError(
          .mismatch, "the file holds no word \(token)", file: path,
          hint: "its words: \(inversion.entries.compactMap(\.word).joined(separator: ", "))")
      }
    }
    var words: [TextualInversion] = []
    for entry in entries {
      words.append(
        try TextualInversion(
          token: token ?? entry.word ?? TextualInversionFile.word(ofFile: path),
          tensor: entry.tensor, path: path, warnings: words.isEmpty ? file.warnings : []))
    }
    return words
  }

  /// The format of an image file; nil if it is not an image.
  private static func imageKind(_ path: String) throws(FormatError) -> String? {
    try TensorFile.sniff(path).imageName
  }
}
