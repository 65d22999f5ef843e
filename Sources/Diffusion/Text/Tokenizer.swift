import ModelFormats
import OrderedJSON

/// CLIP's byte-pair tokenizer: a prompt becomes the token ids that the text encoder reads.
///
/// Source: the CLIP tokenizer of transformers 5 (NFC, white space, lower case, CLIP's pattern,
/// byte-level byte pairs with `</w>` at the end of a word). Ids equal to its ids are tested in
/// DiffusionTests/TokenizerTests.swift.
public struct Tokenizer: Sendable {
  /// A token of a prompt and the part of the prompt (in NFC) that it stands for.
  public struct Token: Sendable, Hashable {
    public let id: Int
    public let text: String
  }

  /// A prompt as the text encoder reads it, and what of it did not fit.
  public struct Encoding: Sendable, Hashable {
    /// The start token, the prompt's tokens, an end token, and padding up to the length asked for.
    public let ids: [Int]
    /// How many of the prompt's own tokens are among `ids`.
    public let tokenCount: Int
    /// How many of the prompt's tokens did not fit.
    public let droppedTokenCount: Int
    /// The end of the prompt that was dropped; empty where all of it fitted.
    public let droppedText: String
  }

  /// The highest id that a prompt can become.
  public var highestID: Int { Int(vocabulary.highestID) }

  private let vocabulary: Vocabulary
  private let merges: BytePairMerges
  /// For each byte its token inside a word, and its token at the end of one.
  private let byteTokens: [Int32]
  private let finalByteTokens: [Int32]
  private let start: Int32
  private let end: Int32
  private let padding: Int32
  /// The texts that stand for a token of their own wherever they appear in a prompt.
  private let specialTokens: [(text: [Unicode.Scalar], id: Int32)]

  /// Makes a tokenizer from the files of a repository's `tokenizer` directory.
  ///
  /// - Parameters:
  ///   - vocabulary: `vocab.json`, tokens and their ids.
  ///   - merges: `merges.txt`, the merges in the order in which they were learned.
  ///   - configuration: `tokenizer_config.json`, if there is one.
  ///   - specialTokens: `special_tokens_map.json`; goes before `configuration`.
  /// - Throws: ``FormatError`` `malformed` where the files break their format or do not fit
  ///   together, `unsupported` where a field asks for another tokenizer.
  public init(
    vocabulary json: JSON, merges text: String, configuration: JSON? = nil,
    specialTokens: JSON? = nil
  ) throws(FormatError) {
    if configuration?["do_lower_case"]?.bool == false {
      throw FormatError(
        .unsupported, "do_lower_case is false; CLIP's tokenizer lowers case",
        context: "tokenizer_config.json")
    }
    let vocabulary = try Vocabulary(json)
    func token(_ role: String, default content: String) throws(FormatError) -> (String, Int32) {
      let entry = specialTokens?[role] ?? configuration?[role]
      let text = entry?.string ?? entry?["content"]?.string ?? content
      // It would stand everywhere in a prompt, and take nothing of it.
      guard !text.isEmpty else {
        throw FormatError(
          .malformed, "the \(role) is empty", context: "tokenizer_config.json",
          hint: "take the tokenizer's files from the model's own repository")
      }
      guard let id = vocabulary.id(of: text.utf8) else {
        throw FormatError(
          .malformed, "the vocabulary does not hold the \(role) \"\(text)\"", context: "vocab.json")
      }
      return (text, id)
    }
    let start = try token("bos_token", default: "<|startoftext|>")
    let end = try token("eos_token", default: "<|endoftext|>")
    let unknown = try token("unk_token", default: "<|endoftext|>")
    let padding = try token("pad_token", default: "<|endoftext|>")
    self.vocabulary = vocabulary
    merges = try BytePairMerges(text, vocabulary: vocabulary)
    let alphabet = Self.byteAlphabet
    byteTokens = alphabet.map { vocabulary.id(of: $0.utf8) ?? unknown.1 }
    finalByteTokens = alphabet.map { vocabulary.id(of: ($0 + "</w>").utf8) ?? unknown.1 }
    self.start = start.1
    self.end = end.1
    self.padding = padding.1
    self.specialTokens = [start, end, unknown].map { (Array($0.0.unicodeScalars), $0.1) }
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
    var ids = [Int(start)] + kept.map { Int($0.id) } + [Int(end)]
    ids += [Int](repeating: Int(padding), count: length - ids.count)
    let dropped = tokens.dropFirst(kept.count)
    return Encoding(
      ids: ids, tokenCount: kept.count, droppedTokenCount: dropped.count,
      droppedText: dropped.first.map { Self.text(source[$0.range.lowerBound...]) } ?? "")
  }

  /// The ids that begin, end and fill up what the text encoder reads.
  var startID: Int { Int(start) }
  var endID: Int { Int(end) }
  var paddingID: Int { Int(padding) }

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

  /// The tokens as ranges of the scalars returned beside them.
  private func spans(of prompt: String) -> ([Span], [Unicode.Scalar]) {
    let scalars = Array(prompt.unicodeScalars)
    var spans: [Span] = []
    var source: [Unicode.Scalar] = []
    var stretch = String.UnicodeScalarView()
    func flush() {
      guard !stretch.isEmpty else { return }
      let scanner = PromptScanner(String(stretch), origin: source.count)
      source += scanner.source
      scanner.forEachPiece { spans += self.spans(of: $0) }
      stretch = String.UnicodeScalarView()
    }
    var position = 0
    while position < scalars.count {
      let special = specialTokens.first { scalars[position...].starts(with: $0.text) }
      if let special {
        flush()
        spans.append(
          Span(id: special.id, range: source.count..<source.count + special.text.count))
        source += special.text
        position += special.text.count
      } else {
        stretch.append(scalars[position])
        position += 1
      }
    }
    flush()
    return (spans, source)
  }

  private func spans(of piece: PromptScanner.Piece) -> [Span] {
    var symbols = piece.bytes.enumerated().map { index, byte in
      let table = index == piece.bytes.count - 1 ? finalByteTokens : byteTokens
      return BytePairMerges.Symbol(id: table[Int(byte)], length: 1)
    }
    merges.apply(to: &symbols)
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
