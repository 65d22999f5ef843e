import Checkpoint
import ModelFormats
import OrderedJSON

/// CLIP's byte-pair tokenizer: converts a prompt to token ids for the text encoder.
///
/// Source: the CLIP tokenizer of transformers 5 (added tokens; NFC, white space, lower case, CLIP's
/// pattern, byte-level byte pairs with `</w>` at the end of a word). Ids equal to its ids are
/// tested in DiffusionTests/TokenizerTests.swift and TokenizerFormTests.swift.
public struct Tokenizer: Sendable {
  /// A token of a prompt and its text in the prompt (in NFC).
  public struct Token: Sendable, Hashable {
    /// Its number in the vocabulary.
    public let id: Int
    /// What it stands for in a prompt.
    public let text: String
  }

  /// A prompt as token ids, and the part that did not fit.
  public struct Encoding: Sendable, Hashable {
    /// The start token, the prompt's tokens, an end token, and padding up to the requested length.
    public let ids: [Int]
    /// The number of the prompt's own tokens in `ids`.
    public let tokenCount: Int
    /// The number of tokens that did not fit.
    public let droppedTokenCount: Int
    /// The end of the prompt that was dropped; empty if all of it fit.
    public let droppedText: String
  }

  /// The contents of the tokenizer files.
  public let definition: TokenizerDefinition

  private var vocabulary: Vocabulary { definition.vocabulary }
  /// For each byte its token inside a word, and its token at the end of one.
  private let byteTokens: [Int32]
  private let finalByteTokens: [Int32]
  /// Added tokens to find in the prompt itself, and in the normalized prompt.
  private let literalTokens: AddedTokenMatcher
  private let normalizedTokens: AddedTokenMatcher

  /// Creates a tokenizer from the files of a diffusers `tokenizer` directory.
  ///
  /// - Parameters:
  ///   - vocabulary: `vocab.json`, tokens and their ids.
  ///   - merges: `merges.txt`, the merges in the order in which they were learned.
  ///   - configuration: `tokenizer_config.json`, if there is one.
  ///   - specialTokens: `special_tokens_map.json`; overrides `configuration`.
  /// - Throws: ``FormatError`` `malformed` if the files are invalid or inconsistent,
  ///   `unsupported` if a field asks for another tokenizer.
  package init(
    vocabulary json: JSON, merges text: String, configuration: JSON? = nil,
    specialTokens: JSON? = nil
  ) throws(FormatError) {
    self.init(
      try TokenizerDefinition(
        vocabulary: json, merges: text, configuration: configuration,
        specialTokens: specialTokens))
  }

  /// Creates the tokenizer of a checkpoint.
  public init(_ definition: TokenizerDefinition) {
    self.definition = definition
    let vocabulary = definition.vocabulary
    let unknown = definition.unknownID ?? definition.end.id
    let alphabet = Self.byteAlphabet
    byteTokens = alphabet.map { vocabulary.id(of: $0.utf8) ?? unknown }
    finalByteTokens = alphabet.map { vocabulary.id(of: ($0 + "</w>").utf8) ?? unknown }
    var (literal, normalized) = (AddedTokenMatcher(), AddedTokenMatcher())
    for (id, token) in definition.addedTokens {
      // A special token that is read as text is still found, and then skipped.
      let isText = definition.splitsSpecialTokens && token.isSpecial
      if token.isNormalized {
        let pattern = PromptScanner(token.content, origin: 0).values
        normalized.add(pattern, token, id: isText ? nil : id)
      } else {
        literal.add(Array(token.content.unicodeScalars), token, id: isText ? nil : id)
      }
    }
    literalTokens = literal
    normalizedTokens = normalized
  }

  /// How the vocabulary spells each byte: printable Latin-1 as itself, the others as the
  /// characters from U+0100 on.
  private static let byteAlphabet: [String] = {
    var next: UInt32 = 0x100
    return (UInt32(0)...255).map { byte in
      let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || byte >= 174
      let scalar = Unicode.Scalar(isPrintable ? byte : next)
      if !isPrintable { next += 1 }
      return scalar.map { String(Character($0)) } ?? ""
    }
  }()

  /// The ids of a prompt, cut or padded to `length`.
  ///
  /// - Parameter length: the text encoder's positions, 77 for Stable Diffusion; at least 2.
  public func encode(_ prompt: String, length: Int = 77) -> Encoding {
    precondition(length >= 2, "there must be room for the start and the end token")
    let (tokens, source) = spans(of: prompt)
    let kept = tokens.prefix(length - 2)
    var ids = [startID] + kept.map { Int($0.id) } + [endID]
    ids += [Int](repeating: paddingID, count: length - ids.count)
    let dropped = tokens.dropFirst(kept.count)
    return Encoding(
      ids: ids, tokenCount: kept.count, droppedTokenCount: dropped.count,
      droppedText: dropped.first.map { Self.text(source[$0.range.lowerBound...]) } ?? "")
  }

  /// The number of tokens in a chunk, with start and end: the text encoder's positions, or fewer if
  /// the tokenizer's files say so.
  public func length(positions: Int) -> Int {
    min(positions, definition.maximumLength ?? positions)
  }

  /// The ids of the start, end and padding tokens.
  var startID: Int { Int(definition.start.id) }
  var endID: Int { Int(definition.end.id) }
  var paddingID: Int { Int(definition.padding.id) }

  /// The id of a token as the vocabulary spells it.
  func id(of token: String) -> Int? { vocabulary.id(of: token.utf8).map { Int($0) } }

  /// The part of a prompt (in NFC) that follows its first `count` tokens.
  func text(of prompt: String, after count: Int) -> String {
    let (tokens, source) = spans(of: prompt)
    guard count < tokens.count else { return "" }
    return Self.text(source[tokens[count].range.lowerBound...])
  }

  /// All tokens of a prompt, without start, end and padding.
  public func tokens(of prompt: String) -> [Token] {
    let (tokens, source) = spans(of: prompt)
    return tokens.map { Token(id: Int($0.id), text: Self.text(source[$0.range])) }
  }

  private struct Span {
    let id: Int32
    let range: Range<Int>
  }

  /// The tokens, as ranges of the returned scalars.
  private func spans(of prompt: String) -> ([Span], [Unicode.Scalar]) {
    let scalars = Array(prompt.unicodeScalars)
    var spans: [Span] = []
    var source: [Unicode.Scalar] = []
    for part in literalTokens.split(scalars) {
      if let id = part.id {
        spans.append(Span(id: id, range: source.count..<source.count + part.range.count))
        source += scalars[part.range]
      } else {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: scalars[part.range])
        let scanner = PromptScanner(String(text), origin: source.count)
        source += scanner.source
        self.add(scanner, to: &spans)
      }
    }
    return (spans, source)
  }

  /// Appends the tokens of a part of a prompt that contains no added tokens.
  private func add(_ scanner: PromptScanner, to spans: inout [Span]) {
    for part in normalizedTokens.split(scanner.values) {
      if let id = part.id {
        spans.append(Span(id: id, range: scanner.sourceRange(of: part.range)))
      } else {
        scanner.forEachPiece(in: part.range) { spans += self.spans(of: $0) }
      }
    }
  }

  private func spans(of piece: PromptScanner.Piece) -> [Span] {
    var symbols = piece.bytes.enumerated().map { index, byte in
      let table = index == piece.bytes.count - 1 ? finalByteTokens : byteTokens
      return BytePairMerges.Symbol(id: table[Int(byte)], length: 1)
    }
    definition.merges.apply(to: &symbols)
    var first = 0
    return symbols.map { symbol in
      let last = first + symbol.length - 1
      defer { first += symbol.length }
      return Span(id: symbol.id, range: piece.origins[first]..<piece.origins[last] + 1)
    }
  }

  private static func text(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }
}
