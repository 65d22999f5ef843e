import ArgumentParser
import Diffusion
import OrderedJSON

// Declarations of flags for fields of a job: name, help, range and completion come from the table.

extension JobField {
  /// The help text: description, range, and default.
  var help: ArgumentHelp {
    var text = doc.text(range: range) { "--" + $0 }
    if let standard { text += " (default: \(standard.text { "--" + $0 }))" }
    return ArgumentHelp("\(text).", valueName: isFlag ? nil : placeholder)
  }

  fileprivate var flagName: NameSpecification {
    letter.map { [.customShort($0), .customLong(name)] } ?? .customLong(name)
  }

  fileprivate var completion: CompletionKind? {
    if !traits.isDisjoint(with: [.input, .output]) { return .file() }
    if case .form(_, let choices, _) = kind, !choices.isEmpty { return .list(choices) }
    return nil
  }

  /// The value of an argument, with the parser's error display.
  fileprivate func parsed(_ word: String) throws -> JSON {
    do {
      return try value(of: word)
    } catch {
      throw ValidationError(advice)
    }
  }

  fileprivate func number(_ word: String) throws -> JobNumber {
    _ = try parsed(word)
    return JobNumber(word) ?? 0
  }

  /// The hint for an invalid value.
  private var advice: String {
    if name == JobField.seed.name {
      return "use \(allowed), \(Int.max); or omit it for a random seed"
    }
    return "use \(allowed)"
  }
}

extension Option where Value == Int? {
  init(_ field: JobField) {
    self.init(
      name: field.flagName, parsing: .unconditional, help: field.help,
      completion: field.completion, transform: { try field.parsed($0).int ?? 0 })
  }
}

extension Option where Value == JobNumber? {
  init(_ field: JobField) {
    self.init(
      name: field.flagName, parsing: .unconditional, help: field.help,
      completion: field.completion, transform: field.number)
  }
}

extension Option where Value == String? {
  init(_ field: JobField) {
    let isForm = if case .form = field.kind { true } else { false }
    self.init(
      name: field.flagName, parsing: isForm ? .unconditional : .next, help: field.help,
      completion: field.completion, transform: { isForm ? try field.parsed($0).string ?? $0 : $0 })
  }
}

extension Option where Value == [String] {
  init(wrappedValue: [String], _ field: JobField) {
    self.init(
      wrappedValue: wrappedValue, name: field.flagName, help: field.help,
      completion: field.completion)
  }
}

extension Option where Value == [JobNumber] {
  init(wrappedValue: [JobNumber], _ field: JobField) {
    self.init(
      wrappedValue: wrappedValue, name: field.flagName, parsing: .unconditionalSingleValue,
      help: field.help,
      completion: field.completion, transform: field.number)
  }
}

extension Option {
  /// A field with a fixed set of names.
  init<Choice: ExpressibleByArgument>(_ field: JobField, names: Choice.Type = Choice.self)
  where Value == Choice? {
    self.init(name: field.flagName, help: field.help, completion: field.completion)
  }
}

extension Flag where Value == Bool {
  init(wrappedValue: Bool, _ field: JobField) {
    self.init(wrappedValue: wrappedValue, name: field.flagName, help: field.help)
  }
}

extension Argument where Value == String? {
  init(_ field: JobField) { self.init(help: field.help) }
}

// MARK: Names of values

extension JobChoice {
  static var choiceNames: [String] { choices.map(\.rawValue) }
}

extension PromptStyle.Emphasis: ExpressibleByArgument {}
extension RandomSourceName: ExpressibleByArgument {}
extension Arithmetic: ExpressibleByArgument {}
extension PNDMStart: ExpressibleByArgument {}
extension PreviewKind: ExpressibleByArgument {}
extension TinyAutoencoderUse: ExpressibleByArgument {}
extension TerminalProtocol: ExpressibleByArgument {}

extension SchedulerConfiguration.TimestepSpacing: ExpressibleByArgument {
  public init?(argument: String) { self.init(choice: argument) }
  public static var allValueStrings: [String] { choiceNames }
}

extension SchedulerConfiguration.PredictionType: ExpressibleByArgument {
  public init?(argument: String) { self.init(choice: argument) }
  public static var allValueStrings: [String] { choiceNames }
}
