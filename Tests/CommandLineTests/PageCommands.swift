import Foundation
import TestSupport

/// The commands of a page: lines indented by four spaces, outside of fenced blocks.
struct PageCommands {
  struct Line: Sendable {
    let number: Int
    let command: String
  }

  let page: String
  let lines: [Line]

  /// - Parameter page: its path in the project.
  init(_ page: String) throws {
    self.page = page
    let text = try String(contentsOfFile: "\(Fixtures.root)/\(page)", encoding: .utf8)
    var lines: [Line] = []
    var isFenced = false
    for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      if line.hasPrefix("```") { isFenced.toggle() }
      guard !isFenced, line.hasPrefix("    ") else { continue }
      lines.append(Line(number: index + 1, command: String(line.dropFirst(4))))
    }
    self.lines = lines
  }

  /// Replacements for commands that a test cannot run: a build within a build, and changes to the
  /// system. make looks up its targets and what they would run; apt-get compares the list of
  /// packages with the one that scripts/setup prints.
  private static let functions = #"""
    sudo() { "$@"; }
    make() { command make -n -C "$ROOT" "$@" >/dev/null; }
    apt-get() {
      shift
      for package; do
        grep -qE "(^|[ \"])$package([ \"\\]|\$)" "$ROOT/scripts/setup" || [ "$package" = make ] ||
          { echo "scripts/setup does not say that Swift needs $package" >&2; return 1; }
      done
    }
    """#

  /// Runs all lines in order, in one shell, until one fails.
  func run(in folder: String) throws -> Tool.Result {
    var script = "set -e\nPATH=\"$PROGRAMS:$PATH\"\n" + Self.functions + "\n"
    for line in lines { script += "echo '\(page):\(line.number)' >&2\n\(line.command)\n" }
    try script.write(toFile: folder + "/page.sh", atomically: true, encoding: .utf8)
    return try Tool.launch(
      "/usr/bin/env", ["-u", "MAKEFLAGS", "bash", "page.sh"], in: folder,
      environment: ["PROGRAMS": Tool.folder, "ROOT": Fixtures.root])
  }

  /// The files of the project that the page links to or shows, relative to the page.
  func links() throws -> [String] {
    let text = try String(contentsOfFile: "\(Fixtures.root)/\(page)", encoding: .utf8)
    let targets =
      text.matches(of: /\]\(([^)#]+)[^)]*\)/).map { String($0.output.1) }
      + text.matches(of: /src="([^"]+)"/).map { String($0.output.1) }
    return targets.filter { !$0.contains("://") }
  }

  /// Those that are missing.
  func brokenLinks() throws -> [String] {
    let folder = URL(filePath: "\(Fixtures.root)/\(page)").deletingLastPathComponent().path
    return try links().filter { !FileManager.default.fileExists(atPath: "\(folder)/\($0)") }
  }

  /// The number of lines that a run began.
  func reached(_ result: Tool.Result) -> Int {
    result.errors.split(separator: "\n").count { $0.hasPrefix("\(page):") }
  }
}
