import ModelFormats

/// A prompt parsed as in the AUTOMATIC1111 web UI: pieces of text with their weights, and breaks
/// between chunks.
///
/// `(text)` has weight 1.1, `[text]` 1/1.1, `(text:1.3)` 1.3; nested brackets
/// multiply. `\(`, `\)`, `\[`, `\]` and `\\` are the characters themselves. `BREAK` ends a chunk.
/// An unclosed bracket extends to the end; an unmatched closing bracket is literal text.
///
/// Source: the web UI's documentation of attention, and the strings in its parser's own examples
/// (DiffusionTests/PromptWeightsTests.swift).
public enum PromptPart: Sendable, Hashable {
  case text(String, weight: Float)
  case chunkBreak

  /// The parts of a prompt; adjacent parts of equal weight are joined.
  ///
  /// Parse prompt editing with ``PromptSchedule`` first.
  ///
  /// - Throws: ``GenerationError`` `request` for a weight that is not a number.
  public static func parse(_ prompt: String) throws(GenerationError) -> [PromptPart] {
    var parser = PromptParser(prompt)
    return try parser.parse()
  }
}

private struct PromptParser {
  /// A piece of text; nil for a break.
  private struct Piece {
    var text: String?
    var weight = 1.0
  }

  private static let step = 1.1

  private let characters: [Character]
  private var position = 0
  private var pieces: [Piece] = []
  /// The starts of open brackets of either kind, as indices into `pieces`.
  private var round: [Int] = []
  private var square: [Int] = []

  init(_ prompt: String) {
    characters = Array(prompt)
  }

  mutating func parse() throws(GenerationError) -> [PromptPart] {
    while position < characters.count {
      let character = characters[position]
      switch character {
      case "\\":
        position += 1
        if position < characters.count, "()[]\\".contains(characters[position]) {
          pieces.append(Piece(text: String(characters[position])))
          position += 1
        }
      case "(":
        round.append(pieces.count)
        position += 1
      case "[":
        square.append(pieces.count)
        position += 1
      case ")":
        position += 1
        if let start = round.popLast() { weigh(from: start, Self.step) } else { text(")") }
      case "]":
        position += 1
        if let start = square.popLast() { weigh(from: start, 1 / Self.step) } else { text("]") }
      case ":":
        if let weight = try weightAndBracket(), let start = round.popLast() {
          weigh(from: start, weight)
        } else {
          text(":")
          position += 1
        }
      default:
        let end =
          characters[position...].firstIndex { "\\()[]:".contains($0) } ?? characters.count
        text(String(characters[position..<end]))
        position = end
      }
    }
    for start in round { weigh(from: start, Self.step) }
    for start in square { weigh(from: start, 1 / Self.step) }
    return joined()
  }

  private mutating func weigh(from start: Int, _ factor: Double) {
    for index in start..<pieces.count { pieces[index].weight *= factor }
  }

  /// Appends text; the word BREAK, with white space around it, is a break.
  private mutating func text(_ text: String) {
    var start = text.startIndex
    var from = text.startIndex
    while let found = text[from...].firstRange(of: "BREAK") {
      from = found.upperBound
      let isWord =
        !(text[..<found.lowerBound].last.map(Self.isWordCharacter) ?? false)
        && !(text[found.upperBound...].first.map(Self.isWordCharacter) ?? false)
      guard isWord else { continue }
      var before = text[start..<found.lowerBound]
      while before.last?.isWhitespace == true { before.removeLast() }
      pieces.append(Piece(text: String(before)))
      pieces.append(Piece(text: nil))
      while from < text.endIndex, text[from].isWhitespace { from = text.index(after: from) }
      start = from
    }
    pieces.append(Piece(text: String(text[start...])))
  }

  private static func isWordCharacter(_ character: Character) -> Bool {
    character.isLetter || character.isNumber || character == "_"
  }

  /// The number of `: 1.2)` at the position, which then moves past the bracket; nil if there is
  /// something else, or no bracket is open.
  private mutating func weightAndBracket() throws(GenerationError) -> Double? {
    var end = position + 1
    func skip(_ isPart: (Character) -> Bool) {
      while end < characters.count, isPart(characters[end]) { end += 1 }
    }
    skip(\.isWhitespace)
    let start = end
    if end < characters.count, "+-".contains(characters[end]) { end += 1 }
    let digits = end
    skip { "0123456789.".contains($0) }
    let number = String(characters[start..<end])
    guard end > digits else { return nil }
    skip(\.isWhitespace)
    guard end < characters.count, characters[end] == ")", !round.isEmpty else { return nil }
    guard let weight = Double(number), weight.isFinite, abs(weight) <= 1e6 else {
      throw GenerationError(
        .request, "\"\(number)\" in the prompt is no weight",
        hint: "write a number, as in (word:1.2), or put \\ before the brackets")
    }
    position = end + 1
    return weight
  }

  private func joined() -> [PromptPart] {
    var parts: [PromptPart] = []
    var last: Double?
    for piece in pieces {
      guard let text = piece.text else {
        parts.append(.chunkBreak)
        last = nil
        continue
      }
      let weight = Float(piece.weight)
      if piece.weight == last, case .text(let before, _)? = parts.last {
        parts[parts.count - 1] = .text(before + text, weight: weight)
      } else {
        parts.append(.text(text, weight: weight))
      }
      last = piece.weight
    }
    // No text between two breaks, or at the ends.
    let filled = parts.filter { $0 != .text("", weight: 1) }
    return filled.isEmpty ? [.text("", weight: 1)] : filled
  }
}
