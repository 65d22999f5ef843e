import Foundation
import TestSupport
import Testing

/// Help is what was requested: on stdout, with status 0.
@Suite struct HelpTests {
  @Test(
    arguments: [
      ("sdinspect", []), ("sdinspect", ["summary"]), ("sdinspect", ["tensors"]),
      ("sdinspect", ["layers"]), ("sdinspect", ["stats"]), ("sdinspect", ["diff"]),
      ("sdinspect", ["hash"]), ("sdinspect", ["report"]), ("sdinspect", ["verify"]),
      ("sdinspect", ["convert"]),
      ("sdinspect", ["onnx"]), ("sdgen", []), ("sdgen", ["generate"]), ("sdgen", ["batch"]),
      ("sdgen", ["again"]), ("sdgen", ["info"]), ("sdgen", ["tokens"]), ("sdgen", ["schedule"]),
      ("sdgen", ["similarity"]),
      ("sdgen", ["bench"]),
    ] as [(String, [String])])
  func helpHasAnExample(program: String, command: [String]) throws {
    for arguments in [command + ["--help"], ["help"] + command] {
      let result = try Tool.run(program, arguments)
      #expect(result.status == 0, "\(arguments)")
      #expect(result.errors.isEmpty)
      #expect(result.output.contains("EXAMPLE"), "\(arguments)")
      #expect(result.output.contains("USAGE: \(program)"))
    }
  }

  /// An example that is wrapped onto two lines cannot be pasted.
  @Test(arguments: [
    ("sdinspect", ""), ("sdinspect", "summary"), ("sdinspect", "tensors"), ("sdinspect", "layers"),
    ("sdinspect", "stats"), ("sdinspect", "diff"), ("sdinspect", "hash"), ("sdinspect", "report"),
    ("sdinspect", "verify"), ("sdinspect", "convert"), ("sdinspect", "onnx"), ("sdgen", ""),
    ("sdgen", "generate"), ("sdgen", "again"), ("sdgen", "info"), ("sdgen", "tokens"),
    ("sdgen", "schedule"), ("sdgen", "similarity"),
    ("sdgen", "bench"),
  ])
  func examplesFitATerminal(program: String, command: String) throws {
    let arguments = (command.isEmpty ? [] : [command]) + ["--help"]
    let result = try Tool.run(program, arguments, environment: ["COLUMNS": "80"])
    let lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
    let start = try #require(lines.firstIndex { $0.hasPrefix("EXAMPLE") })
    let examples = lines[(start + 1)...].prefix { !$0.isEmpty }
    #expect(!examples.isEmpty)
    #expect(examples.allSatisfy { $0.hasPrefix("  \(program) ") }, "\(examples)")
  }

  /// The input formats, and the meaning of exit statuses.
  @Test func helpIsTrue() throws {
    func help(_ command: [String]) throws -> String {
      // On lines as they come.
      try Tool.run("sdinspect", command + ["--help"]).output
        .split(whereSeparator: \.isWhitespace).joined(separator: " ")
    }
    for format in ["safetensors", "GGUF", "ONNX", ".sdflat", "shard index"] {
      #expect(try help([]).contains(format), "\(format)")
    }
    for status in ["0 if", "1 if", "65 or 66 if"] {
      #expect(try help(["verify"]).contains(status), "\(status)")
    }
    #expect(try help(["hash"]).contains("not empty"))
    #expect(try !help(["hash"]).contains("every file of"))
  }

  @Test(arguments: ["sdinspect", "sdgen"])
  func versionIsPrinted(program: String) throws {
    let result = try Tool.run(program, ["--version"])
    #expect(result.status == 0)
    // The commit, if the build knew it.
    #expect(
      result.output.wholeMatch(
        of: /(sdinspect|sdgen) [0-9]+\.[0-9]+\.[0-9]+( \([0-9a-f]{7,}(-dirty)?\))?\n/) != nil,
      "\(result.output)")
    #expect(result.output.hasPrefix("\(program) "))
  }

  @Test func aWrongOptionIsAnErrorWithAHint() throws {
    let result = try Tool.run("sdinspect", ["summary", "x", "--bogus"])
    #expect(result.status == 64)
    #expect(result.errors.hasPrefix("error: "))
    #expect(result.errors.contains("\nhint: "))
  }

  /// Signals ignored by the parent process stay ignored, as with nohup.
  @Test func ignoredSignalsStayIgnored() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.launch(
        "/bin/bash",
        [
          "-c",
          """
          trap '' HUP
          "$0" "a red circle" --steps 400 --scheduler ddim -o "$1/a.png" & pid=$!
          sleep 0.5; kill -HUP $pid; wait $pid
          """,
          "\(Tool.folder)/sdgen", folder,
        ])
      #expect(result.status == 0, "\(result.errors)")
      #expect(FileManager.default.fileExists(atPath: folder + "/a.png"))
    }
  }
}
