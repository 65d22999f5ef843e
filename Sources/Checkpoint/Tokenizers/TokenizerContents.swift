import Crypto
import ModelFormats
import OrderedJSON

/// The contents of a tokenizer's files, before checking that they are consistent.
package struct TokenizerContents: Sendable {
  /// The tokens of the model and their ids.
  var vocabulary: [JSONObject.Member]
  var merges: MergeList
  /// `tokenizer_config.json`.
  var configuration: JSONObject?
  /// `special_tokens_map.json`.
  var specialTokens: JSONObject?
  /// `added_tokens.json`: tokens and their ids.
  var addedTokens: JSONObject?
  /// `tokenizer.json` without its model; nil if missing.
  var tokenizer: JSONObject?
  /// The files of vocabulary and merges, for errors: their short names and paths.
  var vocabularyContext = "vocab.json"
  var locations: [String: String] = [:]
  /// Contradictions with other files of the directory.
  var notes: [String] = []

  init(
    vocabulary: [JSONObject.Member], merges: MergeList, configuration: JSONObject? = nil,
    specialTokens: JSONObject? = nil
  ) {
    self.vocabulary = vocabulary
    self.merges = merges
    self.configuration = configuration
    self.specialTokens = specialTokens
  }

  /// Reads the files of a directory.
  ///
  /// - Throws:
  ///   ``FormatError`` `mismatch` if there is no tokenizer or a part of it is missing; `malformed` with file and byte; `unsupported`,
  ///   with its name, for another kind of tokenizer.
  package init(_ files: TokenizerFiles, of path: String) throws(FormatError) {
    func object(_ name: String) throws(FormatError) -> JSONObject? {
      try files[name]?.jsonObject(limit: AuxiliaryFile.sizeLimit)
    }
    switch files.form {
    case .tokenizerFile:
      guard var tokenizer = try object("tokenizer.json"), let file = files["tokenizer.json"]
      else { throw Self.absent("tokenizer.json", path) }
      let model = tokenizer["model"]?.object
      tokenizer["model"] = nil
      let kind = TokenizerKind(model: model, of: tokenizer)
      if let refusal = kind.refusal { throw refusal.inFile(file.location) }
      guard let model, let vocabulary = Self.vocabulary(model["vocab"]) else {
        throw FormatError(
          .malformed, "it contains no vocabulary", file: file.location, context: "model.vocab",
          hint: "download the file again from the model's repository")
      }
      var list: [JSON] = []
      if let merges = model["merges"] {
        guard let array = merges.array else {
          throw FormatError(
            .malformed, "the merges are not a list", file: file.location, context: "model.merges")
        }
        list = array
      }
      self.init(
        vocabulary: vocabulary, merges: MergeList(list, context: "tokenizer.json"))
      self.tokenizer = tokenizer
      vocabularyContext = "tokenizer.json"
      compare(with: try object("vocab.json"))
    case .vocabularyAndMerges:
      guard let vocabulary = try object("vocab.json"), let merges = files["merges.txt"] else {
        throw Self.absent("vocab.json", path)
      }
      guard merges.byteCount <= AuxiliaryFile.sizeLimit,
        let text = String(validating: merges.bytes, as: UTF8.self)
      else { throw FormatError(.malformed, "this is not UTF-8 text", file: merges.location) }
      self.init(vocabulary: vocabulary.members, merges: MergeList(text: text))
    case .incomplete(let name): throw Self.absent(name, path)
    case .foreign(let kind): throw TokenizerKind.refusal(kind)
    case .none: throw Self.absent(nil, path)
    }
    configuration = try object("tokenizer_config.json")
    specialTokens = try object("special_tokens_map.json")
    addedTokens = try object("added_tokens.json")
    for name in ["vocab.json", "merges.txt", "tokenizer.json"] {
      locations[name] = files[name]?.location
    }
    try refuseForeignClass(files)
  }

  private static func absent(_ name: String?, _ path: String) -> FormatError {
    let what =
      name.map { "the checkpoint has no \(TokenizerFiles.directory)/\($0)" }
      ?? "the checkpoint has no tokenizer: neither tokenizer/tokenizer.json nor "
      + "tokenizer/vocab.json with tokenizer/merges.txt"
    return FormatError(
      .mismatch, what, file: path,
      hint: "give a repository directory, or a .sdflat file made from one")
  }

  /// A vocabulary as an object, or as a list of tokens whose positions are their ids.
  private static func vocabulary(_ json: JSON?) -> [JSONObject.Member]? {
    if let object = json?.object { return object.members }
    guard let list = json?.array else { return nil }
    var object = JSONObject()
    for (id, entry) in list.enumerated() {
      guard let token = entry.string ?? entry.array?.first?.string else { return nil }
      object[token] = .integer(id)
    }
    return object.members
  }

  /// Notes if `vocab.json` differs from the vocabulary of `tokenizer.json`.
  private mutating func compare(with other: JSONObject?) {
    guard let other else { return }
    let isEqual =
      other.members.count == vocabulary.count
      && vocabulary.allSatisfy { other[$0.key] == $0.value }
    guard !isEqual else { return }
    notes.append(
      "tokenizer/vocab.json (\(other.members.count.of("token"))) is not the vocabulary of "
        + "tokenizer/tokenizer.json (\(vocabulary.count.of("token"))); tokenizer.json is used, as "
        + "transformers does")
  }

  private func refuseForeignClass(_ files: TokenizerFiles) throws(FormatError) {
    guard let name = configuration?["tokenizer_class"]?.string,
      !TokenizerKind.classes.contains(name)
    else { return }
    throw TokenizerKind.refusal("a \(name)").inFile(
      files["tokenizer_config.json"]?.location ?? "tokenizer_config.json")
  }

  /// Whether vocabulary and merges are CLIP's, which all of Stable Diffusion up to 2.x uses.
  var isCLIP: Bool {
    guard vocabulary.count == 49_408 else { return false }
    var tokens = [String?](repeating: nil, count: vocabulary.count)
    for member in vocabulary {
      guard let id = member.value.int, tokens.indices.contains(id) else { return false }
      tokens[id] = member.key
    }
    var hash = SHA256()
    for token in tokens { hash.update(data: Array(((token ?? "") + "\n").utf8)) }
    merges.visit { merge in
      guard let pair = merge.pair else { return }
      hash.update(data: Array(pair.left) + [0x20] + Array(pair.right) + [0x0A])
    }
    let digest = hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    return digest.joined() == Self.clipDigest
  }

  /// SHA-256 of CLIP's tokens in order of their ids, each with a line feed, followed by the lines
  /// of its `merges.txt` except the first.
  private static let clipDigest =
    "b0dbdd726864a2da71c0f7bb1d3857d25f1f8c43c40899dc1c32adcac6706a6c"
}

/// The kind of tokenizer in a `tokenizer.json`.
struct TokenizerKind {
  /// The name of another kind; nil for CLIP's kind.
  let other: String?

  /// Classes of transformers that read CLIP's tokenizer, and generic ones.
  static let classes: Set<String> = [
    "CLIPTokenizer", "CLIPTokenizerFast", "PreTrainedTokenizer", "PreTrainedTokenizerFast",
    "TokenizersBackend",
  ]

  /// - Parameters:
  ///   - model: its `model`.
  ///   - tokenizer: the rest of it.
  init(model: JSONObject?, of tokenizer: JSONObject) {
    switch model?["type"]?.string {
    case "Unigram": other = "a Unigram tokenizer, as T5's (SentencePiece)"
    case "WordPiece": other = "a WordPiece tokenizer, as BERT's"
    case "WordLevel": other = "a WordLevel tokenizer"
    case let type? where type != "BPE": other = "a tokenizer of the type \(type)"
    default:
      let suffix = model?["end_of_word_suffix"]
      if model?["byte_fallback"]?.bool == true {
        other = "a byte-pair tokenizer that falls back on bytes, as Llama's"
      } else if let suffix, suffix.string != "</w>" {
        other = "a byte-pair tokenizer whose words do not end in </w>, as GPT-2's"
      } else {
        other = nil
      }
    }
  }

  var refusal: FormatError? { other.map(Self.refusal) }

  static func refusal(_ kind: String) -> FormatError {
    FormatError(
      .unsupported, "the tokenizer is \(kind); Stable Diffusion's text encoder reads CLIP's",
      hint: "take the tokenizer's files from the model's own repository")
  }
}
