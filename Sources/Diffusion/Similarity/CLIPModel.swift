import Checkpoint
import Engine
import Glibc
import ModelFormats
import ModelGraph
import Pictures

/// A whole CLIP: a text encoder and an image encoder with a shared embedding space.
///
/// Source: CLIP (Radford et al. 2021) as in transformers' `CLIPModel`. Embeddings and similarities
/// differ from it by less than 1e-5.
public struct CLIPModel: Sendable {
  /// The embedding of a text, and the part that exceeded the text encoder's limit.
  public struct TextEmbedding: Sendable, Hashable {
    /// The embedding: as wide as the projection, with Euclidean length 1.
    public let vector: [Float]
    /// The number of dropped tokens.
    public let droppedTokenCount: Int
    /// The dropped text; empty if nothing was dropped.
    public let droppedText: String
  }

  let tokenizer: Tokenizer
  let textEncoder: any Network
  /// `[projection, hidden]`, row by row.
  let textProjection: [Float]
  let textEnd: Int
  /// Tokens of a text, with start and end.
  let tokenLimit: Int
  let imageEncoder: any Network
  let preparation: PictureChecker.Preparation
  let pictureSize: Int
  /// The width of the embeddings.
  public let width: Int
  /// The factor of the cosines: the exponential of `logit_scale`.
  public let scale: Float
  /// Warnings about the model's files.
  public let warnings: [String]

  /// Contents of the tokenizer's files that are not used, or used differently.
  public var tokenizerNotes: [String] { tokenizer.definition.notes }

  /// The embedding of a text: the state at its end token, projected.
  ///
  /// - Throws: ``EngineError``; ``FormatError`` `mismatch` if the tokenizer's end token is not the
  ///   model's; ``GenerationError`` `notFinite`.
  public func embedding(of text: String) throws -> TextEmbedding {
    let encoding = tokenizer.encode(text, length: tokenLimit)
    let outputs = try textEncoder.run(
      ["input_ids": Value(ids: encoding.ids.map { Int32($0) }, shape: [1, tokenLimit])],
      inputVersions: [:], observer: nil)
    let states = try outputs.require("last_hidden_state")
    let hidden = states.shape[2]
    let end = try endPosition(of: encoding.ids)
    let state = states.reals[end * hidden..<(end + 1) * hidden]
    let projected: [Float] = (0..<width).map { row in
      Float(SimilarityMatrix.dot(textProjection[row * hidden..<(row + 1) * hidden], state))
    }
    return TextEmbedding(
      vector: try Self.unit(projected, "text"), droppedTokenCount: encoding.droppedTokenCount,
      droppedText: encoding.droppedText)
  }

  /// The embedding of an image: as wide as the projection, with Euclidean length 1.
  ///
  /// - Throws: ``EngineError``; ``GenerationError`` `notFinite`.
  public func embedding(of picture: Image) throws -> [Float] {
    let outputs = try imageEncoder.run(
      ["pixel_values": preparation.value(of: picture, side: pictureSize)], inputVersions: [:],
      observer: nil)
    return try Self.unit(outputs.require("image_embeds").reals, "image")
  }

  /// The similarities of embedded images and texts.
  public func similarities(pictures: [[Float]], texts: [[Float]]) -> SimilarityMatrix {
    SimilarityMatrix(pictures: pictures, texts: texts, scale: scale)
  }

  /// The end token's position. Configurations from before transformers 4.31 give 2, whatever the
  /// vocabulary; there the largest id is the end.
  private func endPosition(of ids: [Int]) throws(FormatError) -> Int {
    if textEnd == 2 { return ids.indices.reduce(0) { ids[$1] > ids[$0] ? $1 : $0 } }
    guard let position = ids.firstIndex(of: textEnd) else {
      throw FormatError(
        .mismatch,
        "the tokenizer ends texts with the token \(tokenizer.endID), but the text encoder reads the "
          + "token \(textEnd)", context: "eos_token_id",
        hint: "use the tokenizer's files from the model's own repository")
    }
    return position
  }

  private static func unit(_ vector: [Float], _ kind: String) throws(GenerationError) -> [Float] {
    let length = SimilarityMatrix.dot(vector[...], vector[...]).squareRoot()
    guard length.isFinite, length > 0 else {
      throw GenerationError(
        .notFinite, "the \(kind) encoder's output has no direction: its length is \(length)",
        hint: "check the model's weights")
    }
    return vector.map { Float(Double($0) / length) }
  }
}
