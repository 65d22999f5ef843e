import OrderedJSON

/// A command's help, as dumped by swift-argument-parser.
struct CommandHelp {
  struct Argument {
    /// For example `-o` and `--output`; empty for a positional argument.
    let spellings: [String]
    /// The placeholder for the value; nil for a flag.
    let value: String?
    let isOptional: Bool
    let isRepeating: Bool
    let help: String
    let defaultValue: String?
    let choices: [String]

    var isPositional: Bool { spellings.isEmpty }
  }

  let name: String
  let abstract: String
  let discussion: String
  let arguments: [Argument]
  let commands: [CommandHelp]
  let defaultCommand: String?

  init?(_ json: JSON) {
    guard let name = json["commandName"]?.string else { return nil }
    self.name = name
    abstract = json["abstract"]?.string ?? ""
    discussion = json["discussion"]?.string ?? ""
    defaultCommand = json["defaultSubcommand"]?.string
    arguments = (json["arguments"]?.array ?? [])
      .filter { $0["shouldDisplay"]?.bool != false }.compactMap(Argument.init)
    commands = (json["subcommands"]?.array ?? [])
      .filter { $0["shouldDisplay"]?.bool != false && $0["commandName"]?.string != "help" }
      .compactMap(CommandHelp.init)
  }
}

extension CommandHelp.Argument {
  init?(_ json: JSON) {
    guard let kind = json["kind"]?.string else { return nil }
    spellings = (json["names"]?.array ?? []).compactMap { name in
      guard let text = name["name"]?.string else { return nil }
      return name["kind"]?.string == "long" ? "--" + text : "-" + text
    }
    value = kind == "flag" ? nil : json["valueName"]?.string
    isOptional = json["isOptional"]?.bool ?? false
    isRepeating = json["isRepeating"]?.bool ?? false
    help = [json["abstract"]?.string, json["discussion"]?.string].compactMap { $0 }
      .joined(separator: " ")
    defaultValue = json["defaultValue"]?.string
    choices = (json["allValues"]?.array ?? []).compactMap(\.string)
  }
}
