import Foundation
import TestSupport
import Testing

/// What the user sees, through a pseudo-terminal.
@Suite struct TerminalTests {
  static let commands: [[String]] = [
    ["summary"], ["tensors", "--component", "unet"], ["layers", "--component", "unet"],
    ["stats", "--component", "vae"],
  ]

  @Test(arguments: commands, [40, 80, 120])
  func linesFit(command: [String], columns: Int) throws {
    let arguments = [command[0], Fixtures.path("shapes-v2")] + command.dropFirst()
    let output = try PseudoTerminal.run("sdinspect", arguments, columns: columns)
    // Headings show the whole file name; so do reasons.
    let lines = PseudoTerminal.plain(output).split(separator: "\n")
      .filter { !$0.contains("shapes-v2") && !$0.hasPrefix("  - ") }
    #expect(lines.count > 3)
    for line in lines { #expect(line.count <= columns, "\(line)") }
    #expect(output.contains("\u{1B}[1m"))
  }

  @Test(arguments: [["NO_COLOR": "1"], ["TERM": "dumb"]])
  func coloursCanBeRefused(environment: [String: String]) throws {
    let output = try PseudoTerminal.run(
      "sdinspect", ["layers", Fixtures.path("shapes-v2"), "--depth", "1"], columns: 100,
      environment: environment)
    #expect(!output.contains("\u{1B}"))
    #expect(output.contains("down_blocks.0"))
  }

  @Test func theEnvironmentMaySayTheWidth() throws {
    let output = try PseudoTerminal.run(
      "sdinspect", ["tensors", Fixtures.path("shapes-v2"), "--component", "unet"], columns: 200,
      environment: ["COLUMNS": "60"])
    let lines = PseudoTerminal.plain(output).split(separator: "\n").dropFirst()
    #expect(lines.contains { $0.contains("…") })
    #expect(lines.allSatisfy { $0.count <= 60 })
  }

  /// In a pipe, names are not truncated and there is no color, whatever COLUMNS says.
  @Test func pipesGetEverything() throws {
    let result = try Tool.run(
      "sdinspect", ["tensors", Fixtures.path("shapes-v2"), "--component", "unet"],
      environment: ["COLUMNS": "40"])
    #expect(!result.output.contains("…") && !result.output.contains("\u{1B}"))
    #expect(
      result.output.contains(
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0.weight"))
  }

  @Test func errorsAndWarningsAreColouredOnlyThere() throws {
    let output = try PseudoTerminal.run("sdinspect", ["summary", "/nowhere"], columns: 80)
    #expect(output.hasPrefix("\u{1B}[1;31merror:\u{1B}[0m /nowhere: "))
    #expect(output.contains("\n\u{1B}[32mhint:\u{1B}[0m "))
    let plain = try Tool.run("sdinspect", ["summary", "/nowhere"])
    #expect(plain.errors.hasPrefix("error: /nowhere: "))
  }
}

/// What `make install` puts in place.
@Suite struct InstallTests {
  static func install(_ body: (_ root: String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let script = Fixtures.root + "/scripts/install"
      let result = try Tool.launch(script, [Tool.folder, "/usr", folder])
      #expect(result.status == 0, "\(result.errors)")
      try body(folder + "/usr")
      let removal = try Tool.launch(script, ["--remove", "/usr", folder])
      #expect(removal.status == 0, "\(removal.errors)")
      let left = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
      let files = left.filter { path in
        var isDirectory: ObjCBool = false
        _ = FileManager.default.fileExists(atPath: folder + "/" + path, isDirectory: &isDirectory)
        return !isDirectory.boolValue
      }
      #expect(files == [])
    }
  }

  /// All tests in one installation, since it copies the programs.
  @Test func installsWhatWorks() throws {
    try Self.install { root in
      try programs(root)
      try pages(root)
      try completions(root)
    }
  }

  private func programs(_ root: String) throws {
    let version = try Tool.launch(root + "/bin/sdinspect", ["--version"])
    #expect(version.output.hasPrefix("sdinspect "))
    // Outside the source tree it finds the model that was installed with it.
    let picture = try Tool.launch(
      root + "/bin/sdgen", ["a red circle", "--steps", "1", "-o", root + "/a.png"])
    #expect(picture.status == 0, "\(picture.errors)")
    try FileManager.default.removeItem(atPath: root + "/a.png")
  }

  private func pages(_ root: String) throws {
    let folder = root + "/share/man/man1"
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    for name in ["sdinspect.1", "sdinspect-diff.1", "sdinspect-stats.1", "sdgen.1"] {
      #expect(names.contains(name))
    }
    let text = try String(contentsOfFile: folder + "/sdinspect-diff.1", encoding: .utf8)
    #expect(text.contains(".SH EXAMPLE\n"))
    #expect(text.contains("sdinspect diff v1\\-5\\-pruned.ckpt"))
  }

  @Test(.program("/usr/bin/groff", package: "groff-base"))
  func pagesRender() throws {
    try Self.install { root in
      let folder = root + "/share/man/man1"
      for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
        let result = try Tool.launch(
          "/usr/bin/groff", ["-man", "-Tutf8", "-ww", "-rLL=70n", "-P-cbou", "\(folder)/\(name)"])
        #expect(result.status == 0 && result.errors.isEmpty, "\(name): \(result.errors)")
        #expect(result.output.contains("SYNOPSIS"), "\(name)")
      }
    }
  }

  private func completions(_ root: String) throws {
    let script = root + "/share/bash-completion/completions/sdinspect"
    let parsed = try Tool.launch("/bin/bash", ["-n", script])
    #expect(parsed.status == 0 && parsed.errors.isEmpty, "\(parsed.errors)")
    #expect(try completed(script, ["sdinspect", "di"]) == ["diff"])
    #expect(try completed(script, ["sdinspect", "stats", "--s"]) == ["--sort"])
    #expect(try completed(script, ["sdinspect", "stats", "--sort", "ove"]) == ["overflow"])
    for file in ["zsh/site-functions/_sdinspect", "fish/vendor_completions.d/sdinspect.fish"] {
      let text = try String(contentsOfFile: root + "/share/" + file, encoding: .utf8)
      #expect(text.contains("stats") && text.contains("overflow"), "\(file)")
    }
  }

  /// What bash offers for the last of the words.
  private func completed(_ script: String, _ words: [String]) throws -> [String] {
    let result = try Tool.launch(
      "/bin/bash",
      [
        "-c",
        """
        shopt -s extglob
        . "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
        function=$(complete -p sdinspect | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        $function sdinspect "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\\n' "${COMPREPLY[@]}"
        """,
        "bash", script,
      ] + words)
    return result.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
  }
}
