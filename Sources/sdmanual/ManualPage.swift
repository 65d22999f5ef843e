import Terminal

/// A manual page in troff's man macros (man(7)).
struct ManualPage {
  let name: String
  let text: String

  /// The page of a program, and one for each of its commands.
  static func pages(of program: CommandHelp, version: String) -> [ManualPage] {
    [ManualPage(program, parent: nil, version)]
      + program.commands.map { ManualPage($0, parent: program, version) }
  }

  private init(_ command: CommandHelp, parent: CommandHelp?, _ version: String) {
    let spoken = parent.map { "\($0.name) \(command.name)" } ?? command.name
    name = parent.map { "\($0.name)-\(command.name)" } ?? command.name
    var page = Troff()
    page.line(".TH \(name.uppercased().replacingHyphens) 1 \"\" \"\(version)\" \"sdloom\"")
    page.section("NAME")
    page.text("\(name) \\- ", escaped: true)
    page.append(command.abstract.droppingFullStop)
    page.section("SYNOPSIS")
    page.synopsis(spoken, command)
    let (description, examples) = ManualPage.parts(command.discussion)
    if !description.isEmpty {
      page.section("DESCRIPTION")
      for paragraph in description { page.paragraph(paragraph) }
    }
    if !command.commands.isEmpty {
      page.section("COMMANDS")
      for child in command.commands {
        page.line(".TP")
        page.line(".BR \("\(command.name)-\(child.name)".replacingHyphens) (1)")
        let note = child.name == command.defaultCommand ? " The default." : ""
        page.text(child.abstract + note)
      }
    }
    page.section("OPTIONS")
    for argument in command.arguments { page.option(argument) }
    if !examples.isEmpty {
      page.section(examples.count > 1 ? "EXAMPLES" : "EXAMPLE")
      page.line(".nf")
      for example in examples { page.text(example) }
      page.line(".fi")
    }
    page.section("SEE ALSO")
    let others = parent.map { [$0.name] } ?? command.commands.map { "\(command.name)-\($0.name)" }
    let partner = command.name == "sdgen" || parent?.name == "sdgen" ? "sdinspect" : "sdgen"
    page.references(others.filter { !$0.isEmpty } + (others.contains(partner) ? [] : [partner]))
    text = page.result
  }

  /// A discussion's paragraphs, and the command lines under its heading EXAMPLE.
  private static func parts(_ discussion: String) -> (paragraphs: [String], examples: [String]) {
    var paragraphs: [String] = []
    var examples: [String] = []
    var isOpen = false
    for line in discussion.split(separator: "\n", omittingEmptySubsequences: false) {
      let words = line.drop { $0 == " " }
      if words == "EXAMPLE" || words == "EXAMPLES" {
        isOpen = false
      } else if words.isEmpty {
        isOpen = false
      } else if line.hasPrefix("  ") {
        examples.append(String(words))
      } else if isOpen {
        paragraphs[paragraphs.count - 1] += " " + words
      } else {
        paragraphs.append(String(words))
        isOpen = true
      }
    }
    return (paragraphs, examples)
  }
}

/// troff text under construction.
private struct Troff {
  private(set) var result = ""

  mutating func line(_ line: String) { result += line + "\n" }

  mutating func section(_ title: String) { line(".SH \(title)") }

  mutating func paragraph(_ text: String) {
    line(".PP")
    self.text(text)
  }

  /// A line of arbitrary text.
  mutating func text(_ text: String, escaped: Bool = false) {
    line(escaped ? text : Troff.escaped(text))
  }

  /// Continues the last line.
  mutating func append(_ text: String) {
    while result.last == "\n" { result.removeLast() }
    line(Troff.escaped(text))
  }

  mutating func synopsis(_ name: String, _ command: CommandHelp) {
    line(".B \(Troff.escaped(name))")
    let options = command.arguments.filter { !$0.isPositional }
    for argument in options + command.arguments.filter(\.isPositional) {
      let value = argument.value.map { "\\fI\(Troff.escaped($0))\\fR" }
      // The long spelling is more descriptive.
      let spelling = (argument.spellings.first { $0.hasPrefix("--") } ?? argument.spellings.first)
        .map { "\\fB\(Troff.escaped($0))\\fR" }
      var text = [spelling, value].compactMap { $0 }.joined(separator: " ")
      if argument.isRepeating { text += " ..." }
      line(argument.isOptional || argument.defaultValue != nil ? "[\(text)]" : text)
    }
    if !command.commands.isEmpty { line("\\fIcommand\\fR ...") }
  }

  mutating func option(_ argument: CommandHelp.Argument) {
    line(".TP")
    let spellings = argument.spellings.map { "\\fB\(Troff.escaped($0))\\fR" }
      .joined(separator: ", ")
    let value = argument.value.map { "\\fI\(Troff.escaped($0))\\fR" }
    line([spellings, value ?? ""].filter { !$0.isEmpty }.joined(separator: " "))
    var help = argument.help
    if !argument.choices.isEmpty {
      help += " One of: \(argument.choices.joined(separator: ", "))."
    }
    if let value = argument.defaultValue { help += " Default: \(value)." }
    text(help.isEmpty ? "(no description)" : help)
  }

  mutating func references(_ names: [String]) {
    for (position, name) in names.enumerated() {
      line(".BR \(name.replacingHyphens) (1)\(position < names.count - 1 ? "," : "")")
    }
  }

  /// The text with troff's special characters escaped.
  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
      switch character {
      case "\\": result += "\\e"
      case "-": result += "\\-"
      case "\n": result += "\n.br\n"
      default:
        // Character names that need no preprocessing before troff.
        result += character.unicodeScalars.reduce(into: "") { text, scalar in
          let digits = String(scalar.value, radix: 16, uppercase: true)
          let padded = String(repeating: "0", count: max(0, 4 - digits.count)) + digits
          text += scalar.isASCII ? String(scalar) : "\\[u\(padded)]"
        }
      }
    }
    return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
  }
}

extension String {
  /// A name with hyphens that can be copied from the page.
  fileprivate var replacingHyphens: String {
    split(separator: "-", omittingEmptySubsequences: false).joined(separator: "\\-")
  }

  fileprivate var droppingFullStop: String { hasSuffix(".") ? String(dropLast()) : self }
}
