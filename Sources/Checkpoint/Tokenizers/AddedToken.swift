import OrderedJSON

/// A token beside those of the byte-pair model, and how it is looked for in a text.
///
/// Source: `AddedToken` of the `tokenizers` library.
package struct AddedToken: Sendable, Hashable {
  package let content: String
  /// Whether it counts only where neither neighbour is a letter, digit or underscore.
  package let isSingleWord: Bool
  /// Whether it takes the white space before it, and behind it.
  package let stripsLeft: Bool
  package let stripsRight: Bool
  /// Whether it is looked for in the normalised text, in its normalised form.
  package let isNormalized: Bool
  /// Whether it is one of the special tokens.
  package let isSpecial: Bool

  package static func == (left: AddedToken, right: AddedToken) -> Bool {
    ExactName(left.content) == ExactName(right.content) && left.flags == right.flags
  }

  package func hash(into hasher: inout Hasher) { ExactName(content).hash(into: &hasher) }

  private var flags: [Bool] { [isSingleWord, stripsLeft, stripsRight, isNormalized, isSpecial] }
}

/// An added token as files declare it: a field that is absent depends on others.
struct DeclaredToken: Sendable {
  let content: String
  var isSingleWord = false
  var stripsLeft = false
  var stripsRight = false
  /// Nil where the file does not say: then special tokens are not normalised, others are.
  var isNormalized: Bool?
  var isSpecial = false

  init(_ content: String, isNormalized: Bool? = nil, isSpecial: Bool = false) {
    self.content = content
    self.isNormalized = isNormalized
    self.isSpecial = isSpecial
  }

  /// Reads an object with a text `content` and flags; nil where it has none, or a flag is no flag.
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

  /// The token as it is added.
  ///
  /// - Parameter isNamed: whether it has a role, as the end token has; then it is special.
  func resolved(isNamed: Bool) -> AddedToken {
    let isSpecial = isSpecial || isNamed
    return AddedToken(
      content: content, isSingleWord: isSingleWord, stripsLeft: stripsLeft,
      stripsRight: stripsRight, isNormalized: isNormalized ?? !isSpecial, isSpecial: isSpecial)
  }
}
