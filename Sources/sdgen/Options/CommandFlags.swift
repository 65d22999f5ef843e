import ArgumentParser
import Diffusion

/// The flags of a command, and whether each takes a value.
struct CommandFlags: Sendable {
  private(set) var takesValue: [String: Bool] = [:]

  /// The flags of `sdgen generate`: the fields of a job.
  static let generate = CommandFlags(JobField.all)

  private init(_ fields: [JobField]) {
    for field in fields {
      takesValue["--" + field.name] = !field.isFlag
      if let letter = field.letter { takesValue["-\(letter)"] = !field.isFlag }
    }
  }

  /// The flags in a command's help: lines such as `  -o, --output <file>  The picture`.
  init(_ command: any ParsableCommand.Type) {
    for line in command.helpMessage(columns: 200).split(separator: "\n") {
      guard line.hasPrefix("  -") else { continue }
      let words = line.dropFirst(2).split(separator: " ", omittingEmptySubsequences: false)
        .prefix { !$0.isEmpty }
      let takesValue = words.contains { $0.hasPrefix("<") }
      for word in words where word.hasPrefix("-") {
        self.takesValue[String(word.filter { $0 != "," })] = takesValue
      }
    }
  }

  /// The union with another command's flags.
  func with(_ others: CommandFlags) -> CommandFlags {
    var result = self
    result.takesValue.merge(others.takesValue) { own, _ in own }
    return result
  }

  /// The closest flag for a likely typo.
  func nearest(to spelling: String) -> String? {
    Spelling.nearest(to: spelling, in: takesValue.keys.filter { $0.hasPrefix("--") }.sorted())
  }
}
