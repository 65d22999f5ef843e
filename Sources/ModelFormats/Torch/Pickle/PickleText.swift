/// Recognizes a pickle without a magic number: protocols 0 and 1, and truncated or damaged files
/// without an end.
enum PickleText {
  /// The number of opcodes that rules out chance, and the number that suffices if nothing else
  /// follows.
  private static let clear = 16
  private static let enough = 5

  /// Whether bytes are consecutive pickle opcodes: many of them, or all of the data.
  ///
  /// Source: the opcodes of protocols 0 and 1 in Python's `pickletools`.
  static func isPickle(_ head: [UInt8]) -> Bool {
    var cursor = Cursor(bytes: head)
    guard let first = head.first, "(c]})".utf8.contains(first) else { return false }
    var count = 0
    var memos = 0
    var kinds: Set<UInt8> = []
    while count < clear {
      guard let opcode = cursor.next() else { break }
      guard cursor.skipArgument(of: opcode) else { break }
      count += 1
      kinds.insert(opcode)
      if "pqr".utf8.contains(opcode) { memos += 1 }
    }
    // Protocols 0 and 1 memoize what they create.
    guard memos > 0, kinds.count > 2 else { return false }
    return count >= clear || count >= enough && cursor.isAtEnd
  }

  private struct Cursor {
    let bytes: [UInt8]
    private var position = 0
    /// Whether nothing or only a partial argument is left.
    private(set) var isAtEnd = false

    init(bytes: [UInt8]) {
      self.bytes = bytes
    }

    mutating func next() -> UInt8? {
      guard position < bytes.count else {
        isAtEnd = true
        return nil
      }
      defer { position += 1 }
      return bytes[position]
    }

    private mutating func skip(_ count: Int) -> Bool {
      guard bytes.count - position >= count else {
        isAtEnd = true
        return false
      }
      position += count
      return true
    }

    private mutating func line() -> ArraySlice<UInt8>? {
      guard let end = bytes[position...].firstIndex(of: 0x0A) else {
        isAtEnd = true
        return nil
      }
      defer { position = end + 1 }
      return bytes[position..<end]
    }

    /// Skips a little-endian length of this width and as many bytes.
    private mutating func skipCounted(_ width: Int) -> Bool {
      guard bytes.count - position >= width else {
        isAtEnd = true
        return false
      }
      var length = 0
      for place in 0..<width { length |= Int(bytes[position + place]) << (8 * place) }
      position += width
      return skip(length)
    }

    /// - Returns: false for an invalid opcode, and if the bytes end in its argument.
    mutating func skipArgument(of opcode: UInt8) -> Bool {
      switch Character(Unicode.Scalar(opcode)) {
      case "(", ".", "0", "1", "2", "N", "R", "]", "}", ")", "a", "b", "d", "e", "l", "o", "s", "t",
        "u":
        return true
      case "I": return isLine { Int($0) != nil }
      case "L": return isLine { Int($0.hasSuffix("L") ? $0.dropLast() : $0) != nil }
      case "F": return isLine { Double($0) != nil }
      case "p", "g": return isLine { !$0.isEmpty && $0.allSatisfy(\.isNumber) }
      case "S": return isLine { $0.count > 1 && ($0.first == "'" || $0.first == "\"") }
      case "V", "P": return line() != nil
      case "c", "i": return isLine(isName) && isLine(isName)
      case "K", "q", "h": return skip(1)
      case "M": return skip(2)
      case "J", "r", "j": return skip(4)
      case "G": return skip(8)
      case "U": return skipCounted(1)
      case "T", "X": return skipCounted(4)
      default: return false
      }
    }

    private mutating func isLine(_ isRight: (Substring) -> Bool) -> Bool {
      guard let bytes = line() else { return false }
      return isRight(Substring(String(decoding: bytes, as: UTF8.self)))
    }

    private func isName(_ text: Substring) -> Bool {
      !text.isEmpty
        && text.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." }
    }
  }
}
