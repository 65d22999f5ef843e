/// A prompt that changes between steps, in the web UI's syntax: `[from:to:when]`, `[to:when]`,
/// `[from::when]` and `[one|another]`.
///
/// `when` is a step or, with a decimal point, a fraction of the steps; after it, the prompt has `to`.
/// In the second pass of hires fix, `when` continues from the first: its fractions are 1 to 2, and its
/// steps follow the first pass's. Alternatives take turns, in each pass from the first one. Brackets
/// nest. Source: the web UI's documentation of prompt editing, and the examples of its parser
/// (DiffusionTests/PromptScheduleTests.swift).
package struct PromptSchedule: Sendable, Hashable {
  /// A prompt and its steps, counted from 1.
  package struct Stretch: Sendable, Hashable {
    package let steps: ClosedRange<Int>
    package let prompt: String
  }

  /// In the order of their steps; together they cover all steps.
  package let stretches: [Stretch]

  /// - Parameters:
  ///   - steps: the number of steps, at least 1.
  ///   - firstPassSteps: in a second pass, the number of steps of the first; nil in a first pass.
  package init(_ prompt: String, steps: Int, firstPassSteps: Int? = nil) {
    let count = max(1, steps)
    let source = ScheduleSource(prompt, firstPassSteps: firstPassSteps)
    guard source.changes else {
      stretches = [Stretch(steps: 1...count, prompt: prompt)]
      return
    }
    var stretches: [Stretch] = []
    for step in 1...count {
      let text = source.text(at: step, of: count)
      if let last = stretches.last, last.prompt == text {
        stretches[stretches.count - 1] = Stretch(
          steps: last.steps.lowerBound...step, prompt: text)
      } else {
        stretches.append(Stretch(steps: step...step, prompt: text))
      }
    }
    self.stretches = stretches
  }
}

/// The prompt's characters, and the matching of its brackets.
private struct ScheduleSource {
  /// Brackets nested deeper than this are text.
  private static let depthLimit = 100

  private let characters: [Character]
  private let firstPassSteps: Int?
  /// The position of the matching `]` for each closed `[`.
  private var closing: [Int: Int] = [:]

  init(_ prompt: String, firstPassSteps: Int?) {
    characters = Array(prompt)
    self.firstPassSteps = firstPassSteps
    var open: [Int] = []
    var position = 0
    while position < characters.count {
      switch characters[position] {
      case "\\": position += 1
      case "[": open.append(position)
      case "]":
        if let start = open.popLast(), open.count < Self.depthLimit { closing[start] = position }
      default: break
      }
      position += 1
    }
  }

  /// Whether any bracket may contain prompt editing.
  var changes: Bool {
    closing.contains { start, end in
      let parts = parts(of: (start + 1)..<end)
      return parts.alternatives.count > 1 || parts.editing != nil
    }
  }

  func text(at step: Int, of count: Int) -> String {
    text(in: 0..<characters.count, at: step, of: count)
  }

  private func text(in range: Range<Int>, at step: Int, of count: Int) -> String {
    var result = ""
    var position = range.lowerBound
    while position < range.upperBound {
      let character = characters[position]
      if character == "\\", position + 1 < range.upperBound {
        result.append(contentsOf: characters[position...(position + 1)])
        position += 2
      } else if character == "[", let end = closing[position], end < range.upperBound {
        result += bracket((position + 1)..<end, at: step, of: count)
        position = end + 1
      } else {
        result.append(character)
        position += 1
      }
    }
    return result
  }

  /// The meaning of a pair of square brackets, parsed from its content.
  private func bracket(_ range: Range<Int>, at step: Int, of count: Int) -> String {
    let parts = parts(of: range)
    if parts.alternatives.count > 1 {
      return text(
        in: parts.alternatives[(step - 1) % parts.alternatives.count], at: step, of: count)
    }
    guard let editing = parts.editing else {
      return "[" + text(in: range, at: step, of: count) + "]"
    }
    let passes = firstPassSteps == nil ? 0.0 : 1
    let last =
      editing.isShare
      ? Int((editing.when - passes) * Double(count)) : Int(editing.when) - (firstPassSteps ?? 0)
    return text(in: step <= last ? editing.before : editing.after, at: step, of: count)
  }

  private struct Editing {
    let before: Range<Int>
    let after: Range<Int>
    let when: Double
    let isShare: Bool
  }

  /// The content of a pair of brackets split at its own bars, and as an editing.
  private func parts(
    of range: Range<Int>
  ) -> (alternatives: [Range<Int>], editing: Editing?) {
    var bars: [Int] = []
    var colons: [Int] = []
    var depth = 0
    var position = range.lowerBound
    while position < range.upperBound {
      switch characters[position] {
      case "\\": position += 1
      case "[":
        // Brackets are skipped whole.
        if let end = closing[position], end < range.upperBound { position = end }
      case "(": depth += 1
      case ")": depth = max(0, depth - 1)
      case "|" where depth == 0: bars.append(position)
      case ":" where depth == 0: colons.append(position)
      default: break
      }
      position += 1
    }
    func split(at separators: [Int]) -> [Range<Int>] {
      let starts = [range.lowerBound] + separators.map { $0 + 1 }
      return zip(starts, separators + [range.upperBound]).map { $0..<$1 }
    }
    let alternatives = split(at: bars)
    guard bars.isEmpty, (1...2).contains(colons.count) else { return (alternatives, nil) }
    let pieces = split(at: colons)
    var number = characters[pieces[pieces.count - 1]]
    while number.first?.isWhitespace == true { number.removeFirst() }
    while number.last?.isWhitespace == true { number.removeLast() }
    guard let first = number.first, "0123456789.+-".contains(first),
      number.allSatisfy({ "0123456789.eE+-".contains($0) }),
      let when = Double(String(number)), abs(when) < 1e6
    else { return (alternatives, nil) }
    let empty = range.lowerBound..<range.lowerBound
    return (
      alternatives,
      Editing(
        before: pieces.count == 3 ? pieces[0] : empty, after: pieces[pieces.count - 2], when: when,
        isShare: number.contains("."))
    )
  }
}
