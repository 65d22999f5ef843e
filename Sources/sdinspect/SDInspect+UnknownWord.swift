import ArgumentParser
import Glibc
import Terminal

extension SDInspect {
  /// Rejects a first word that is neither a command nor a path: the parser would use it as the path
  /// of `summary` and then complain about what follows.
  static func check(_ arguments: [String]) throws(Failure) {
    let commands =
      configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
    guard let word = arguments.first, !word.isEmpty, !word.hasPrefix("-"), !word.contains("/"),
      !commands.contains(word), access(word, F_OK) != 0
    else { return }
    let nearest = commands.map { (name: $0, distance: distance(word, $0)) }
      .filter { $0.distance <= 2 && $0.distance < word.count }
      .min { $0.distance < $1.distance }
    throw Failure(
      .noInput, code: "not-found", "no such command, file or directory", file: word,
      hint: nearest.map { "did you mean \($0.name)?" }
        ?? "the commands: \(commands.joined(separator: ", "))")
  }

  /// The edit distance of two words: insertions, deletions, replacements and swaps of adjacent
  /// letters.
  ///
  /// Source: Damerau, Communications of the ACM 7 (1964), in the form that changes no letter twice.
  private static func distance(_ first: String, _ second: String) -> Int {
    let (a, b) = (Array(first), Array(second))
    guard !a.isEmpty, a.count <= 64 else { return max(a.count, b.count) }
    var before: [Int] = []
    var last = Array(0...b.count)
    for i in 1...a.count {
      var row = [i]
      for j in 1..<last.count {
        var least = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1))
        if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] {
          least = min(least, before[j - 2] + 1)
        }
        row.append(least)
      }
      before = last
      last = row
    }
    return last[b.count]
  }
}
