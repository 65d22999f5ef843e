import OrderedJSON

/// A token in addition to those of the byte-pair model, and how it is matched in text.
///
/// Source: `AddedToken` of the `tokenizers` library.
package struct AddedToken: Sendable, Hashable {
  package let content: String
  /// Whether it matches only if neither neighbor is a letter, digit or underscore.
  package let isSingleWord: Bool
  /// Whether it also consumes whitespace before it, and after it.
  package let stripsLeft: Bool
  package let stripsRight: Bool
  /// Whether it is matched, in normalized form, in normalized text.
  package let isNormalized: Bool
  /// Whether it is one of the special tokens.
  package let isSpecial: Bool

  package static func == (left: AddedToken, right: AddedToken) -> Bool {
    ExactName(left.content) == ExactName(right.content) && left.flags == right.flags
  }

  package func hash(into hasher: inout Hasher) { ExactName(content).hash(into: &hasher) }

  private var flags: [Bool] { [isSingleWord, stripsLeft, stripsRight, isNormalized, isSpecial] }
}

/// An added token as declared in files: defaults of missing fields depend on other fields.
struct DeclaredToken: Sendable {
  let content: String
  var isSingleWord = false
  var stripsLeft = false
  var stripsRight = false
  /// Nil if not specified: special tokens are then not normalized, others are.
  var isNormalized: Bool?
  var isSpecial = false

  init(_ content: String, isNormalized: Bool? = nil, isSpecial: Bool = false) {
    self.content = content
    self.isNormalized = isNormalized
    self.isSpecial = isSpecial
  }

  /// Reads an object with a string `content` and flags; nil if it has none or a flag is invalid.
  init?(_ json: JSON, isSpecial: Bool? = nil) {
    guard let object = json.object, let content = object["content"]?.string else { return nil }
    self.init(content)
    for name in ["single_word", "lstrip", "rstrip", "normalized", "special"] {
      guard let value = object[name], !value.isNull else { continue }
      guard let flag = value.bool else { return nil }
      switch name {
      case "single_word": isSingleWord = flag
      case "lstrip": stripsLeft = flag
      case "rstrip": stripsRight = flag
      case "normalized": isNormalized = flag
      default: self.isSpecial = flag
      }
    }
    if let isSpecial { self.isSpecial = isSpecial }
  }

  /// The token to add.
  ///
  /// - Parameter isNamed: whether it has a role, such as the end token; then it is special.
  func resolved(isNamed: Bool) -> AddedToken {
    let isSpecial = isSpecial || isNamed
    return AddedToken(
      content: content, isSingleWord: isSingleWord, stripsLeft: stripsLeft,
      stripsRight: stripsRight, isNormalized: isNormalized ?? !isSpecial, isSpecial: isSpecial)
  }
}
