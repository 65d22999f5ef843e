/// The width of text on a terminal, in columns.
public enum TextWidth {
  /// The columns of a text without control characters.
  public static func columns(_ text: some StringProtocol) -> Int {
    // One column per ASCII byte; nearly all names are ASCII.
    if text.utf8.allSatisfy({ $0 < 0x80 }) { return text.utf8.count }
    return text.reduce(0) { $0 + columns($1) }
  }

  /// The text shortened to this many columns with an ellipsis in its middle, so that both ends of a
  /// long name are visible.
  public static func shortened(_ text: String, to width: Int) -> String {
    guard columns(text) > width else { return text }
    guard width > 1 else { return width == 1 ? "…" : "" }
    // The end of a name is more distinctive than its beginning.
    let head = prefix(text, (width - 1) / 2)
    let tail = prefix(text.reversed(), width - 1 - columns(head))
    return head + "…" + String(tail.reversed())
  }

  private static func prefix(_ characters: some Sequence<Character>, _ width: Int) -> String {
    var result = ""
    var used = 0
    for character in characters {
      used += columns(character)
      guard used <= width else { break }
      result.append(character)
    }
    return result
  }

  /// 2 for East Asian wide characters and emoji, 0 for a combining mark, otherwise 1.
  static func columns(_ character: Character) -> Int {
    guard let first = character.unicodeScalars.first else { return 0 }
    if character.isASCII { return 1 }
    if character.unicodeScalars.contains(where: isWide) { return 2 }
    switch first.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format: return 0
    default: return 1
    }
  }

  /// Source: Unicode Standard Annex 11 (East Asian Width W and F), by blocks; and the emoji
  /// variation selector.
  private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
      0xF900...0xFAFF, 0xFE10...0xFE19, 0xFE30...0xFE6F, 0xFF01...0xFF60, 0xFFE0...0xFFE6,
      0x16FE0...0x18DFF, 0x1AFF0...0x1B2FF, 0x20000...0x3FFFD, 0xFE0F:
      true
    default:
      scalar.properties.isEmojiPresentation
    }
  }
}
