import OrderedJSON

/// The generation parameters of an image in the AUTOMATIC1111 web UI's format: the prompt, the
/// negative prompt, and a line of fields.
///
/// Source: `modules/infotext_utils.py` and `modules/processing.py` of stable-diffusion-webui.
public struct Infotext: Sendable, Hashable {
  /// A setting, such as `Steps: 20`.
  public struct Field: Sendable, Hashable {
    /// The part before the colon.
    public let name: String
    /// The part after the colon, without quotes.
    public var value: String

    public init(_ name: String, _ value: String) {
      self.name = name
      self.value = value
    }
  }

  /// The prompt; it may have several lines.
  public var prompt: String
  /// The negative prompt; empty if there is none.
  public var negativePrompt: String
  /// In order; for duplicate names the last one counts.
  public var fields: [Field]

  public init(prompt: String, negativePrompt: String = "", fields: [Field] = []) {
    self.prompt = prompt
    self.negativePrompt = negativePrompt
    self.fields = fields
  }

  /// The value of a field. A new value replaces all of the name, nil removes them.
  public subscript(name: String) -> String? {
    get { fields.last { $0.name == name }?.value }
    set {
      guard let newValue else {
        fields.removeAll { $0.name == name }
        return
      }
      guard let place = fields.lastIndex(where: { $0.name == name }) else {
        fields.append(Field(name, newValue))
        return
      }
      fields[place].value = newValue
    }
  }

  /// The text; a value with a comma, a colon or a line break is quoted as JSON.
  public var text: String {
    let line = fields.map { "\($0.name): \(Self.quoted($0.value))" }.joined(separator: ", ")
    let negative = negativePrompt.isEmpty ? "" : "\nNegative prompt: \(negativePrompt)"
    return (prompt + negative + "\n" + line).trimmed
  }

  private static func quoted(_ value: String) -> String {
    value.contains { ",:\n".contains($0) } ? JSON.string(value).text(.compact) : value
  }

  /// Parses infotext of the web UI or a compatible program.
  ///
  /// As in the web UI, the last line contains the fields if it has at least three; everything
  /// before `Negative prompt:` is the prompt.
  public init(parsing text: String) {
    var lines = text.trimmed.split(separator: "\n", omittingEmptySubsequences: false)
      .map(String.init)
    fields = lines.last.map(Self.fields) ?? []
    if fields.count < 3 {
      fields = []
    } else {
      lines.removeLast()
    }
    var prompts: [String] = []
    var negatives: [String]?
    for line in lines {
      var line = line.trimmed
      if line.hasPrefix("Negative prompt:") {
        line = String(line.dropFirst("Negative prompt:".count)).trimmed
        negatives = negatives ?? []
      }
      if negatives == nil { prompts.append(line) } else { negatives?.append(line) }
    }
    prompt = Self.joined(prompts)
    negativePrompt = Self.joined(negatives ?? [])
  }

  /// Joins lines as the web UI does: empty ones at the start are lost.
  private static func joined(_ lines: [String]) -> String {
    lines.drop { $0.isEmpty }.joined(separator: "\n")
  }

  /// All matches of the web UI's regular expression for a field, from left to right:
  /// `\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)`
  ///
  /// stable-diffusion.cpp writes lists and a JSON object without quotes: a value in brackets goes to
  /// the closing one, so that what is in them is never a field.
  private static func fields(_ line: String) -> [Field] {
    let text = Array(line.unicodeScalars)
    var fields: [Field] = []
    var position = 0
    var brackets = BracketScan(text)
    while let name = nextName(in: text, from: position) {
      var start = name.upperBound + 1
      while start < text.count, text[start].properties.isWhitespace { start += 1 }
      let label = string(text[name])
      let end =
        quotedEnd(in: text, from: start) ?? brackets.end(from: start)
        ?? (label == "SDCPP" ? text.count : text[start...].firstIndex(of: ",") ?? text.count)
      let value = string(text[start..<end])
      fields.append(Field(label, unquoted(value)))
      position = end + 1
    }
    return fields
  }

  /// The range of the next name followed by a colon.
  private static func nextName(in text: [Unicode.Scalar], from start: Int) -> Range<Int>? {
    var position = start
    while position < text.count {
      guard isWord(text[position]) else {
        position += 1
        continue
      }
      var end = position + 1
      while end < text.count, isWord(text[end]) || " -/".unicodeScalars.contains(text[end]) {
        end += 1
      }
      if end < text.count, text[end] == ":", end - position >= 2 { return position..<end }
      // From any later position in this run the match would fail at the same end.
      position = end
    }
    return nil
  }

  /// The end of a quoted value followed by a comma or the end of the text.
  private static func quotedEnd(in text: [Unicode.Scalar], from start: Int) -> Int? {
    guard start < text.count, text[start] == "\"" else { return nil }
    var position = start + 1
    while position < text.count, text[position] != "\"" {
      position += text[position] == "\\" ? 2 : 1
    }
    let end = position + 1
    guard position < text.count, position > start + 1 else { return nil }
    return end == text.count || text[end] == "," ? end : nil
  }

  /// Finds the ends of values in brackets.
  private struct BracketScan {
    private let text: [Unicode.Scalar]
    /// How many more characters are looked at: brackets that are never closed must not make a long
    /// line slow.
    private var budget: Int

    init(_ text: [Unicode.Scalar]) {
      self.text = text
      budget = 4 * text.count + 64
    }

    /// The place after the bracket that closes the one at `start`, if a comma or the end of the text
    /// follows; brackets in JSON strings do not count. nil for a value without brackets.
    mutating func end(from start: Int) -> Int? {
      guard start < text.count, "[{".unicodeScalars.contains(text[start]) else { return nil }
      var open = 0
      var isQuoted = false
      var position = start
      while position < text.count, budget > 0 {
        budget -= 1
        switch text[position] {
        case "\\" where isQuoted: position += 1
        case "\"": isQuoted.toggle()
        case "[", "{": open += isQuoted ? 0 : 1
        case "]", "}":
          open -= isQuoted ? 0 : 1
          guard open > 0 || isQuoted else {
            let end = position + 1
            return end == text.count || text[end] == "," ? end : nil
          }
        default: break
        }
        position += 1
      }
      return nil
    }
  }

  /// A word character, as in Python's `\w`.
  private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
  }

  private static func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }

  private static func unquoted(_ value: String) -> String {
    guard value.count >= 2, value.first == "\"", value.last == "\"" else { return value }
    return (try? JSON(parsing: value))?.string ?? value
  }
}

extension String {
  /// The text without leading and trailing whitespace.
  fileprivate var trimmed: String {
    let scalars = unicodeScalars
    guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
      let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
    else { return "" }
    return String(scalars[first...last])
  }
}
