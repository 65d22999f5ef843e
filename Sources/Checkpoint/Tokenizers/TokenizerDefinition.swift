import ModelFormats
import OrderedJSON

/// A tokenizer of CLIP's kind, from its files: vocabulary, merges, added tokens, and the start, end
/// and padding tokens of a prompt.
///
/// Source: `CLIPTokenizer.from_pretrained` of transformers 5 and the `tokenizers` library. They use
/// only vocabulary, merges and added tokens of `tokenizer.json`; normalizer, pattern and
/// post-processor are always CLIP's.
public struct TokenizerDefinition: Sendable {
  /// A token with a role.
  package struct Role: Sendable, Hashable {
    package let text: String
    package let id: Int32
  }

  package let vocabulary: Vocabulary
  package let merges: BytePairMerges
  /// Tokens that are matched in a prompt before it is split into words, by id.
  package let addedTokens: [(id: Int32, token: AddedToken)]
  package let start: Role
  package let end: Role
  package let padding: Role
  /// The token for bytes that the vocabulary cannot spell; nil if there is none.
  package let unknownID: Int32?
  /// The maximum number of tokens in a prompt, with start and end; nil if the files set no limit.
  public let maximumLength: Int?
  /// Whether special tokens in a prompt are treated as text.
  package let splitsSpecialTokens: Bool
  /// Contents of the files that are not used, or used differently.
  public let notes: [String]

  /// Reads the tokenizer of a checkpoint.
  ///
  /// - Throws:
  ///   ``FormatError`` `mismatch` if it has none; `malformed` if the files are invalid or inconsistent; `unsupported`,
  ///   with its name, for another kind of tokenizer or an unsupported field.
  public init(of checkpoint: ModelCheckpoint) throws(FormatError) {
    try self.init(checkpoint.tokenizerFiles, of: checkpoint.path)
  }

  /// Reads the tokenizer in `files`.
  package init(_ files: TokenizerFiles, of path: String) throws(FormatError) {
    try self.init(TokenizerContents(files, of: path))
  }

  /// Reads a vocabulary and merges with their settings.
  package init(
    vocabulary: JSON, merges: String, configuration: JSON? = nil, specialTokens: JSON? = nil
  ) throws(FormatError) {
    guard let object = vocabulary.object else {
      throw FormatError(.malformed, "the vocabulary is not a JSON object", context: "vocab.json")
    }
    try self.init(
      TokenizerContents(
        vocabulary: object.members, merges: MergeList(text: merges),
        configuration: configuration?.object, specialTokens: specialTokens?.object))
  }

  init(_ contents: TokenizerContents) throws(FormatError) {
    do throws(FormatError) {
      try self.init(checked: contents)
    } catch {
      var error = error
      if let context = error.context, let location = contents.locations[context] {
        error.file = error.file ?? location
      }
      throw error
    }
  }

  private init(checked contents: TokenizerContents) throws(FormatError) {
    let context = contents.vocabularyContext
    let vocabulary = try Vocabulary(contents.vocabulary, context: context)
    let settings = try TokenizerSettings(contents)
    var added = AddedTokens(vocabulary)
    let pending = settings.tokensToAdd
    try added.add(pending, limit: settings.limit)

    func role(_ name: String) throws(FormatError) -> Role {
      let text = settings.text(of: name)
      guard let text, !text.isEmpty else {
        throw FormatError(
          .malformed, "the \(name) is \(text == nil ? "null" : "empty")",
          context: "tokenizer_config.json",
          hint: "take the tokenizer's files from the model's own repository")
      }
      // CLIP has both; without them the files are inconsistent.
      let isDeclared = settings.declared.contains { ExactName($0.token.content) == ExactName(text) }
      guard let id = added.id(of: text),
        name == "pad_token" || isDeclared || vocabulary.id(of: text.utf8) != nil
      else {
        throw FormatError(
          .malformed, "the vocabulary does not contain the \(name) \"\(text)\"", context: context)
      }
      return Role(text: text, id: id)
    }
    start = try role("bos_token")
    end = try role("eos_token")
    padding = try role("pad_token")
    unknownID = settings.text(of: "unk_token").flatMap(added.id)
    guard vocabulary.hasToken(endingIn: "</w>") else {
      throw TokenizerKind.refusal(
        "a byte-pair tokenizer whose words do not end in </w>, as GPT-2's")
    }
    self.vocabulary = vocabulary
    merges = try BytePairMerges(contents.merges, vocabulary: vocabulary)
    addedTokens = added.sorted
    maximumLength = settings.maximumLength
    splitsSpecialTokens = settings.splitsSpecialTokens
    notes = contents.notes + settings.notes + added.notes(on: settings.declared)
  }

  /// The number of tokens, including added ones.
  public var tokenCount: Int {
    vocabulary.count + addedTokens.count { vocabulary.id(of: $0.token.content.utf8) == nil }
  }

  /// The token with the highest id, and its id.
  public var highestToken: (text: String, id: Int) {
    let own = vocabulary.highestToken ?? (text: "", id: -1)
    guard let last = addedTokens.last, last.id >= own.id else { return (own.text, Int(own.id)) }
    return (last.token.content, Int(last.id))
  }

  /// Whether `other`, with the same vocabulary and merges, gives the same ids.
  func hasSettings(of other: TokenizerDefinition) -> Bool {
    addedTokens.elementsEqual(other.addedTokens) { $0 == $1 } && start == other.start
      && end == other.end && padding == other.padding && unknownID == other.unknownID
      && maximumLength == other.maximumLength && splitsSpecialTokens == other.splitsSpecialTokens
  }

  // MARK: Text encoder

  /// Checks the ids against the rows of the text encoder's embedding.
  ///
  /// - Parameter embeddings: the number of rows.
  /// - Throws: ``FormatError`` `mismatch` with the token that has no row.
  public func check(embeddings: Int, of path: String) throws(FormatError) {
    let highest = highestToken
    guard highest.id >= embeddings else { return }
    throw FormatError(
      .mismatch,
      "the token \"\(highest.text)\" has the id \(highest.id), but the text encoder has only "
        + "\(embeddings) embeddings (ids 0 to \(embeddings - 1))", file: path,
      context: TokenizerFiles.directory,
      hint: "take tokenizer and text encoder from the same repository")
  }

  /// A note if the text encoder has more embeddings than tokens.
  public func note(onEmbeddings embeddings: Int) -> String? {
    let highest = highestToken.id
    guard embeddings > highest + 1 else { return nil }
    let count = embeddings - highest - 1
    return "the text encoder has \(embeddings) embeddings for ids up to \(highest): "
      + "\(count.of("has", "have")) no token"
  }
}
