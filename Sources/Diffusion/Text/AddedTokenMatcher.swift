import Checkpoint

/// Finds added tokens in a text, from left to right, the longest match first.
///
/// Source: `find_matches` of the `tokenizers` library, which uses an equivalent automaton.
struct AddedTokenMatcher: Sendable {
  /// A part of a text: a token or the text between tokens.
  struct Part: Equatable {
    /// Nil between tokens.
    let id: Int32?
    let range: Range<Int>
  }

  private struct Entry {
    let token: AddedToken
    /// Nil for a skipped token: it is read as text, and no other token is found in it.
    let id: Int32?
  }

  private var entries: [Entry] = []
  /// A tree of scalars: the next node for a node (upper half of the key) and a scalar.
  private var nodes: [UInt64: Int32] = [:]
  /// For each node the entry that ends there, or -1.
  private var ends: [Int32] = [-1]

  /// Adds a token. If two have the same pattern, the first one is found.
  mutating func add(_ pattern: [Unicode.Scalar], _ token: AddedToken, id: Int32?) {
    guard !pattern.isEmpty else { return }
    var node: Int32 = 0
    for scalar in pattern {
      let key = Self.key(node, scalar)
      if let next = nodes[key] {
        node = next
      } else {
        node = Int32(ends.count)
        nodes[key] = node
        ends.append(-1)
      }
    }
    guard ends[Int(node)] < 0 else { return }
    ends[Int(node)] = Int32(entries.count)
    entries.append(Entry(token: token, id: id))
  }

  private static func key(_ node: Int32, _ scalar: Unicode.Scalar) -> UInt64 {
    UInt64(UInt32(bitPattern: node)) << 32 | UInt64(scalar.value)
  }

  /// The longest token that starts at a position.
  private func match(_ text: [Unicode.Scalar], at start: Int) -> (entry: Entry, end: Int)? {
    var node: Int32 = 0
    var found: (entry: Entry, end: Int)?
    var position = start
    while position < text.count, let next = nodes[Self.key(node, text[position])] {
      node = next
      position += 1
      let entry = ends[Int(node)]
      if entry >= 0 { found = (entries[Int(entry)], position) }
    }
    return found
  }

  /// The nonempty parts of a text, in order.
  func split(_ text: [Unicode.Scalar]) -> [Part] {
    guard !text.isEmpty else { return [] }
    var parts: [Part] = []
    /// Where the last token ends.
    var last = 0
    var position = entries.isEmpty ? text.count : 0
    while position < text.count {
      guard let (entry, end) = match(text, at: position) else {
        position += 1
        continue
      }
      var (start, stop) = (position, end)
      position = end
      guard let id = entry.id else { continue }
      let token = entry.token
      if token.isSingleWord {
        let isJoined =
          start > 0 && text[start - 1].isWord || stop < text.count && text[stop].isWord
        if isJoined { continue }
      }
      if token.stripsLeft {
        while start > last, text[start - 1].properties.isWhitespace { start -= 1 }
      }
      if token.stripsRight {
        while stop < text.count, text[stop].properties.isWhitespace { stop += 1 }
      }
      if last < start { parts.append(Part(id: nil, range: last..<start)) }
      parts.append(Part(id: id, range: start..<stop))
      last = stop
    }
    if last < text.count { parts.append(Part(id: nil, range: last..<text.count)) }
    return parts
  }
}

extension Unicode.Scalar {
  /// Whether the scalar belongs to a word, like `\w` in Unicode regular expressions.
  ///
  /// Source: Unicode Technical Standard 18, annex C.
  fileprivate var isWord: Bool {
    if properties.isAlphabetic || properties.isJoinControl { return true }
    return switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: false
    }
  }
}
