/// A prompt as token chunks for the text encoder, and the part that did not fit.
public struct PromptEncoding: Sendable, Hashable {
  /// A token of the prompt.
  public struct Token: Sendable, Hashable {
    /// Past the vocabulary for a vector of a textual inversion.
    public let id: Int
    /// Its text in the prompt; for a textual inversion, its trigger word.
    public let text: String
    /// How much it weighs, 1 if nothing else is asked for.
    public let weight: Float
  }

  /// The tokens of one text encoder run.
  public struct Chunk: Sendable, Hashable {
    /// The tokens of the prompt, without start, end and padding.
    public let tokens: [Token]
    /// The start token, the chunk's tokens, an end token, and padding.
    public let ids: [Int]
    /// The weight of each of `ids`.
    public let weights: [Float]
  }

  /// One or more chunks.
  public let chunks: [Chunk]
  /// The number of tokens that did not fit, and their text, the end of the prompt.
  public let droppedTokenCount: Int
  /// The text that did not fit.
  public let droppedText: String
  /// Warnings about the prompt.
  public let warnings: [String]
  /// The trigger words of the textual inversions in the prompt.
  public let embeddings: Set<String>

  /// The number of tokens that fit, without start, end and padding.
  public var tokenCount: Int { chunks.reduce(0) { $0 + $1.tokens.count } }
}
