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
    entries = rows.flatMap(Entry.entries).filter { !["help", "version"].contains($0.name) }
  }

  subscript(name: String) -> Entry? { entries.first { $0.name == name } }

  func entry(spelled spelling: String) -> Entry? {
    entries.first { $0.spellings.contains(spelling) }
  }

  /// The spelling that one is likely a slip of.
  func nearest(to spelling: String) -> String? {
    Spelling.nearest(to: spelling, in: entries.flatMap(\.spellings).filter { $0.hasPrefix("--") })
  }

  var positional: Entry? { entries.first(where: \.isPositional) }
}

extension ArgumentTable.Entry {
  /// The entries of an argument: a flag with an opposite, as `--x` and `--no-x`, is two.
  fileprivate static func entries(_ json: JSON) -> [ArgumentTable.Entry] {
    guard let kind = json["kind"]?.string else { return [] }
    let names = json["names"]?.array ?? []
    func spelled(_ kind: String) -> [String] {
      names.filter { ($0["kind"]?.string == "long") == (kind == "long") }
        .compactMap { $0["name"]?.string }
    }
    func entry(_ name: String, _ spellings: [String]) -> ArgumentTable.Entry {
      ArgumentTable.Entry(
        name: name, spellings: spellings, isFlag: kind == "flag",
        isRepeating: json["isRepeating"]?.bool ?? false,
        isFile: json["completionKind"]?["file"] != nil,
        section: json["sectionTitle"]?.string ?? "")
    }
    if kind == "positional" {
      return json["valueName"]?.string.map { [entry($0, [])] } ?? []
    }
    let long = spelled("long")
    if kind == "flag", long.count > 1 { return long.map { entry($0, ["--" + $0]) } }
    return long.first.map { first in
      [entry(first, long.map { "--" + $0 } + spelled("short").map { "-" + $0 })]
    } ?? []
  }
}
