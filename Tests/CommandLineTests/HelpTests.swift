import Foundation
import TestSupport
import Testing

/// Help is what was asked for: on stdout, with status 0.
@Suite struct HelpTests {
  @Test(
    arguments: [
      ("sdinspect", []), ("sdinspect", ["summary"]), ("sdinspect", ["tensors"]),
      ("sdinspect", ["layers"]), ("sdinspect", ["stats"]), ("sdinspect", ["diff"]),
      ("sdinspect", ["hash"]), ("sdinspect", ["report"]), ("sdinspect", ["verify"]),
      ("sdinspect", ["convert"]),
      ("sdinspect", ["onnx"]), ("sdgen", []), ("sdgen", ["generate"]),
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

  @Test(arguments: ["sdinspect", "sdgen"])
  func versionIsPrinted(program: String) throws {
    let result = try Tool.run(program, ["--version"])
    #expect(result.status == 0)
    #expect(result.output.hasPrefix("\(program) "))
  }

  @Test func aWrongOptionIsAnErrorWithAHint() throws {
    let result = try Tool.run("sdinspect", ["summary", "x", "--bogus"])
    #expect(result.status == 64)
    #expect(result.errors.hasPrefix("error: "))
    #expect(result.errors.contains("\nhint: "))
  }

  /// What the one who started the program ignores stays ignored, as nohup has it.
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
