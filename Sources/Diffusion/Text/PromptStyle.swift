/// How a prompt is read.
public struct PromptStyle: Sendable, Hashable {
  /// How weights act on what the text encoder makes of a chunk, by the names of the web UI.
  public enum Emphasis: String, Sendable, CaseIterable {
    /// Weights multiply the hidden states, whose mean over the chunk is then restored.
    case original
    /// Weights multiply the hidden states.
    case noNorm = "no-norm"
    /// Weights are read and not applied.
    case ignore
    /// Brackets, colons and BREAK are text.
    case none
  }

  public var emphasis = Emphasis.original
  /// As diffusers reads it: `emphasis` is none, and what does not fit one chunk is left out.
  public var isPlain = false
  /// Which layer of the text encoder, from the last one back, the hidden states are taken from;
  /// 1 is the last.
  public var clipSkip = 1

  public init() {}

  /// Whether brackets and BREAK are text.
  public var isLiteral: Bool { isPlain || emphasis == .none }
}
