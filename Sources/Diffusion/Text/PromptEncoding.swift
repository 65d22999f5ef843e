/// A prompt as the text encoder reads it, and what of it could not be read.
public struct PromptEncoding: Sendable, Hashable {
  /// A token of the prompt.
  public struct Token: Sendable, Hashable {
    /// Beyond the vocabulary for a vector of a textual inversion.
    public let id: Int
    /// The part of the prompt that it stands for; the token of a textual inversion.
    public let text: String
    public let weight: Float
  }

  /// As many tokens as the text encoder takes at once.
  public struct Chunk: Sendable, Hashable {
    public let tokens: [Token]
    /// The start token, the chunk's tokens, an end token, and padding.
    public let ids: [Int]
    /// The weight of each of `ids`.
    public let weights: [Float]
  }

  /// At least one.
  public let chunks: [Chunk]
  /// How many of the prompt's tokens did not fit, and the end of the prompt that they make up.
  public let droppedTokenCount: Int
  public let droppedText: String
  /// What is odd about the prompt.
  public let warnings: [String]
  /// The tokens of the textual inversions that it uses.
  public let embeddings: Set<String>

  /// How many of the prompt's own tokens are read.
  public var tokenCount: Int { chunks.reduce(0) { $0 + $1.tokens.count } }
}
