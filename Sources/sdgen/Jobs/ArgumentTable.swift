import ArgumentParser
import OrderedJSON

/// The arguments of `sdgen generate`, as its own help lists them.
struct ArgumentTable: Sendable {
  struct Entry: Sendable {
    /// The long name without dashes, or what stands for a positional argument: `prompt`.
    let name: String
    /// With dashes; none for a positional argument.
    let spellings: [String]
    let isFlag: Bool
    let isRepeating: Bool
    /// Whether the value names a file.
    let isFile: Bool
    /// The title of its group in the help.
    let section: String

    var isPositional: Bool { spellings.isEmpty }
  }

  let entries: [Entry]

  static let generate = ArgumentTable(dump: GenerateCommand._dumpHelp())

  /// - Parameter dump: what swift-argument-parser says of a command.
  init(dump: String) {
    let rows = (try? JSON(parsing: dump))?["command"]?["arguments"]?.array ?? []
    entries = rows.compactMap(Entry.init).filter { !["help", "version"].contains($0.name) }
  }

  subscript(name: String) -> Entry? { entries.first { $0.name == name } }

  func entry(spelled spelling: String) -> Entry? {
    entries.first { $0.spellings.contains(spelling) }
  }

  var positional: Entry? { entries.first(where: \.isPositional) }
}

extension ArgumentTable.Entry {
  init?(_ json: JSON) {
    guard let kind = json["kind"]?.string else { return nil }
    let names = json["names"]?.array ?? []
    let long = names.first { $0["kind"]?.string == "long" }?["name"]?.string
    guard let name = kind == "positional" ? json["valueName"]?.string : long else { return nil }
    self.name = name
    spellings = names.compactMap { name in
      name["name"]?.string.map { (name["kind"]?.string == "long" ? "--" : "-") + $0 }
    }
    isFlag = kind == "flag"
    isRepeating = json["isRepeating"]?.bool ?? false
    isFile = json["completionKind"]?["file"] != nil
    section = json["sectionTitle"]?.string ?? ""
  }
}
