import ModelFormats
import OrderedJSON

/// The tokens added to a vocabulary, in order, and their ids.
///
/// A token in the vocabulary keeps its id; others get the next free id. If a token is added again
/// with other flags, the last flags apply.
///
/// Source: `AddedVocabulary` of the `tokenizers` library.
struct AddedTokens {
  private let vocabulary: Vocabulary
  private var tokens: [Int32: AddedToken] = [:]
  private var ids: [ExactName: Int32] = [:]

  init(_ vocabulary: Vocabulary) {
    self.vocabulary = vocabulary
  }

  /// Adds tokens in order.
  ///
  /// - Parameter limit: the maximum number of scalars in a token.
  /// - Throws: ``FormatError`` `unsupported` for a longer one, or an id beyond 2^31.
  mutating func add(_ list: [AddedToken], limit: Int) throws(FormatError) {
    var next = vocabulary.count
    for token in list where !token.content.isEmpty {
      guard token.content.unicodeScalars.count <= limit else {
        throw FormatError(
          .unsupported, "an added token has more than \(limit) characters",
          context: "tokenizer_config.json")
      }
      var id = self.id(of: token.content)
      if id == nil {
        id = Int32(exactly: next)
        next += 1
      }
      guard let id else {
        throw FormatError(
          .unsupported, "the token \"\(token.content)\" has no id below 2^31",
          context: "tokenizer_config.json")
      }
      ids[ExactName(token.content)] = id
      tokens[id] = token
    }
  }

  /// The id of an added token, or of one of the vocabulary.
  func id(of text: String) -> Int32? {
    ids[ExactName(text)] ?? vocabulary.id(of: text.utf8)
  }

  /// The tokens by their ids.
  var sorted: [(id: Int32, token: AddedToken)] {
    tokens.sorted { $0.key < $1.key }.map { (id: $0.key, token: $0.value) }
  }

  /// Lists tokens whose ids differ from those declared in files.
  func notes(on declared: [TokenizerSettings.Declared]) -> [String] {
    let moved = declared.filter { entry in
      id(of: entry.token.content).map { Int($0) != entry.id } ?? false
    }
    guard let first = moved.first, let id = id(of: first.token.content) else { return [] }
    let more = moved.count == 1 ? "" : " (and \(moved.count - 1) more added tokens likewise)"
    return [
      "the added token \"\(first.token.content)\" has the id \(id), not the \(first.id) of "
        + "\(first.file), as in transformers: added tokens follow the vocabulary\(more)"
    ]
  }
}
