import ModelFormats
import OrderedJSON

/// The files in a repository's `tokenizer` directory, and their form.
public struct TokenizerFiles: Sendable {
  /// The file form of vocabulary and merges.
  public enum Form: Sendable, Hashable {
    /// `tokenizer.json`, which contains both.
    case tokenizerFile
    /// `vocab.json` and `merges.txt`.
    case vocabularyAndMerges
    /// One of the two, without the other, which is named.
    case incomplete(missing: String)
    /// A tokenizer of another kind, with its display name.
    case foreign(String)
    /// No vocabulary.
    case none
  }

  /// Their directory in a repository.
  public static let directory = "tokenizer"

  /// The files in the directory.
  public let files: [AuxiliaryFile]

  /// Selects the tokenizer files of `files`.
  public init(in files: [AuxiliaryFile]) {
    self.files = files.filter { $0.path.hasPrefix(Self.directory + "/") }
  }

  /// Whether there is no tokenizer file.
  public var isEmpty: Bool { files.isEmpty }

  /// The file with this name.
  subscript(name: String) -> AuxiliaryFile? {
    files.first { $0.path == "\(Self.directory)/\(name)" }
  }

  /// The form of the directory. If there are several, the one that transformers uses:
  /// `tokenizer.json` before `vocab.json` and `merges.txt`.
  public var form: Form {
    if self["tokenizer.json"] != nil { return .tokenizerFile }
    switch (self["vocab.json"] != nil, self["merges.txt"] != nil) {
    case (true, true): return .vocabularyAndMerges
    case (true, false): return .incomplete(missing: "merges.txt")
    case (false, _):
      let other = Self.foreign.first { self[$0.file] != nil }
      if let other { return .foreign("\(other.kind) (\(other.file))") }
      return self["merges.txt"] != nil ? .incomplete(missing: "vocab.json") : .none
    }
  }

  /// Whether there is a vocabulary in any form and of any kind.
  public var hasVocabulary: Bool {
    switch form {
    case .none, .incomplete(missing: "vocab.json"): false
    default: true
    }
  }

  /// Files that identify tokenizers of other kinds.
  private static let foreign: [(file: String, kind: String)] = [
    ("spiece.model", "a SentencePiece tokenizer, as T5's"),
    ("sentencepiece.bpe.model", "a SentencePiece tokenizer, as XLM-RoBERTa's"),
    ("tokenizer.model", "a SentencePiece tokenizer, as Llama's"),
    ("tekken.json", "a Tekken tokenizer, as Mistral's"),
    ("vocab.txt", "a WordPiece tokenizer, as BERT's"),
  ]

  /// Whether a file in a tokenizer directory belongs to the tokenizer. Weights do not.
  static func isPart(_ name: String) -> Bool {
    [".json", ".txt", ".model", ".jinja", ".tiktoken"].contains { name.hasSuffix($0) }
  }

  /// Files of which any one identifies a tokenizer directory.
  static let marks =
    ["tokenizer_config.json", "vocab.json", "tokenizer.json"] + foreign.map(\.file)
}

// MARK: Single files

extension TokenizerFiles {
  /// Whether the path is that of a file with vocabulary or merges.
  static func isVocabulary(_ path: String) -> Bool {
    ["tokenizer.json", "vocab.json", "merges.txt"].contains { path == "\(directory)/\($0)" }
  }

  /// Whether vocabulary and merges are complete in one form.
  var isComplete: Bool { form == .tokenizerFile || form == .vocabularyAndMerges }

  /// Whether CLIP's `vocab.json` and `merges.txt` with these small files give the same tokenizer.
  var isCLIPWithSettings: Bool {
    guard var contents = try? TokenizerContents(self, of: ""), contents.isCLIP,
      let whole = try? TokenizerDefinition(contents)
    else { return false }
    contents.tokenizer = nil
    guard let other = try? TokenizerDefinition(contents) else { return false }
    return whole.hasSettings(of: other)
  }

  /// Whether the tokenizer gives the same ids as CLIP's without settings.
  ///
  /// - Parameter padding: the padding token of prompts.
  func isCLIP(padding: String) -> Bool {
    guard let contents = try? TokenizerContents(self, of: ""), contents.isCLIP,
      let definition = try? TokenizerDefinition(contents)
    else { return false }
    let special: Set = ["<|startoftext|>", "<|endoftext|>", padding]
    return definition.start.text == "<|startoftext|>" && definition.end.text == "<|endoftext|>"
      && definition.padding.text == padding && definition.maximumLength ?? 77 == 77
      && definition.addedTokens.allSatisfy { special.contains($0.token.content) }
  }
}

extension ModelCheckpoint {
  /// The files of its tokenizer.
  public var tokenizerFiles: TokenizerFiles { TokenizerFiles(in: files) }
}
