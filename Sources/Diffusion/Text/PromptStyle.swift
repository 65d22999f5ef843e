/// How a prompt is parsed and encoded.
public struct PromptStyle: Sendable, Hashable {
  /// How weights change the hidden states of a chunk, by the web UI's names.
  public enum Emphasis: String, Sendable, CaseIterable {
    /// Weights multiply the hidden states, whose mean over the chunk is then restored.
    case original
    /// Weights multiply the hidden states.
    case noNorm = "no-norm"
    /// Weights are parsed but not applied.
    case ignore
    /// Brackets, colons and BREAK are text.
    case none

    /// The value of the field `Emphasis` in the web UI's text.
    package var webUIName: String {
      switch self {
      case .original: "Original"
      case .noNorm: "No norm"
      case .ignore: "Ignore"
      case .none: "None"
      }
    }

    /// The emphasis with a value of that field; nil if there is none.
    package init?(webUIName name: String) {
      guard let match = Self.allCases.first(where: { $0.webUIName == name }) else { return nil }
      self = match
    }
  }

  /// How weights act.
  public var emphasis = Emphasis.original
  /// As in diffusers: `emphasis` is `none`, and tokens past the first chunk are dropped.
  public var isPlain = false
  /// The text encoder layer whose hidden states are used, counted from the last: 1 is the last.
  public var clipSkip = 1

  public init() {}

  /// Whether brackets and BREAK are text.
  package var isLiteral: Bool { isPlain || emphasis == .none }
}
