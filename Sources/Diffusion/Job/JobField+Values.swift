import OrderedJSON

extension JobField {
  /// The range for help texts: `1 to 1000`; empty if there is none.
  public var range: String {
    switch kind {
    case .integer(let range, multipleOf: 1):
      "\(range.lowerBound) to \(Self.bound(range.upperBound))"
    case .integer(let range, let factor):
      "a multiple of \(factor) from \(range.lowerBound) to \(range.upperBound)"
    case .number(let range, let isAbove):
      (isAbove ? "above " : "") + Self.plain(range.lowerBound) + " to "
        + Self.plain(range.upperBound)
    case .form(let allowed, _, _): allowed
    case .choice(let names): Self.list(names)
    case .flag, .words, .name: ""
    }
  }

  /// The allowed values: `a whole number from 1 to 1000`.
  public var allowed: String {
    switch kind {
    case .flag: return "true or false"
    case .integer(let range, multipleOf: 1):
      return "a whole number from \(range.lowerBound) to \(Self.bound(range.upperBound))"
    case .integer: return range
    case .number(let range, let isAbove):
      let ends = (Self.plain(range.lowerBound), Self.plain(range.upperBound))
      return isAbove
        ? "a number above \(ends.0), up to \(ends.1)" : "a number from \(ends.0) to \(ends.1)"
    case .choice, .form: return range
    case .words, .name:
      return "a text or a number" + (isRepeating ? ", or several" : "")
    }
  }

  /// The value of a command line argument.
  ///
  /// - Throws: ``JobError`` for what the field does not allow.
  public func value(of word: String) throws(JobError) -> JSON {
    switch kind {
    case .flag:
      guard let value = ["true": true, "false": false][word] else { throw refused(word) }
      return .bool(value)
    case .integer(let range, let factor):
      guard let number = Int(word), range.contains(number), number % factor == 0 else {
        throw refused(word)
      }
      return .integer(number)
    case .number(let range, let isAbove):
      guard let number = JobNumber(word), range.contains(number.value),
        !isAbove || number.value > range.lowerBound
      else { throw refused(word) }
      return number.json(numbers: true)
    case .words, .name:
      // System calls end names at a NUL.
      guard !word.utf8.contains(0) else {
        throw JobError(
          .zeroCharacter, name, got: word, allowed: "text without NUL characters",
          "\(name) contains a NUL character")
      }
      return .string(word)
    case .choice(let names):
      let known = names.contains(word) ? word : Self.otherNames[name]?[word]
      guard let known else { throw refused(word) }
      return .string(known)
    case .form(_, _, let isValid):
      guard isValid(word) else { throw refused(word) }
      return .string(word)
    }
  }

  /// A JSON value in the job's form; numbers may be given as strings and strings as numbers, as on
  /// the command line.
  ///
  /// - Throws: ``JobError`` for another kind of value, and for what the field does not allow.
  public func value(of json: JSON) throws(JobError) -> JSON {
    guard isRepeating else { return try element(json) }
    var elements: [JSON] = []
    for value in json.array ?? [json] { elements.append(try element(value)) }
    return .array(elements)
  }

  private func element(_ json: JSON) throws(JobError) -> JSON {
    switch json {
    case .bool where isFlag: return json
    case .string(let text) where !isFlag: return try value(of: text)
    case .integer(let number) where !isFlag: return try value(of: String(number))
    case .number(let number) where !isFlag:
      guard number.isFinite else {
        throw JobError(
          .infinite, name, got: json.text(.compact), allowed: allowed,
          "\(name) is too large")
      }
      return try value(of: "\(number)")
    default:
      let expected = isFlag ? "true or false" : allowed
      throw JobError(
        .kind, name, got: json.text(.compact), allowed: expected,
        "\(name) must be \(expected) (got \(json.text(.compact)))")
    }
  }

  private func refused(_ value: String) -> JobError {
    JobError(
      .range, name, got: value, allowed: allowed,
      "\(name) must be \(allowed) (got \(value.isEmpty ? "nothing" : value))")
  }

  /// Other spellings of choices, by field.
  private static let otherNames = ["format": ["jpg": "jpeg"]]

  /// A whole number without its fraction: 7.5, 7.
  static func plain(_ value: Double) -> String {
    let text = "\(value)"
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  private static func bound(_ value: Int) -> String { value == .max ? "2^63-1" : String(value) }

  private static func list(_ names: [String]) -> String {
    names.count < 2
      ? names.joined() : names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
  }
}
