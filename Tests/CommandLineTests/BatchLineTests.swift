import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Unusual lines of a batch, and lines that conflict.
@Suite(.serialized) struct BatchLineTests {
  private static func run(
    _ lines: [String], _ arguments: [String] = [], in folder: String,
    environment: [String: String] = [:]
  ) throws -> [JSON] {
    try BatchTests.jobs(lines, in: folder)
    let result = try Tool.run(
      "sdgen", ["batch", "jobs.jsonl"] + BatchTests.flags + arguments, in: folder,
      environment: environment)
    return try BatchTests.rows(result)
  }

  private static func statuses(_ rows: [JSON]) -> [String?] { rows.map { $0["status"]?.string } }

  @Test func anOverlongLineAndZerosFailAlone() throws {
    try withTemporaryFolder { folder in
      let rows = try Self.run(
        [
          #"{"prompt": "\#(String(repeating: "a", count: 2 << 20))"}"#,
          #"{"prompt": "a\u0000b"}"#, #"{"prompt": "a", "output": "a.png\u0000.png"}"#,
          #"{"prompt": "a star", "seed": 1}"#,
        ], in: folder)
      #expect(Self.statuses(rows) == ["failed", "failed", "failed", "done"])
      #expect(rows[0]["error"]?["code"]?.string == "malformed")
      #expect(rows[1]["error"]?["message"]?.string == "prompt contains a NUL character")
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
          == ["job-4.png", "jobs.jsonl"])
    }
  }

  @Test func twoJobsCannotWriteOneFile() throws {
    try withTemporaryFolder { folder in
      let lines = [
        #"{"prompt": "a star", "seed": 1, "output": "a.png"}"#,
        #"{"prompt": "a star", "seed": 2, "output": "./a.png"}"#,
        #"{"prompt": "a star", "seed": 1, "output": "a.png"}"#,
      ]
      // The same when it is started again, and where files may be replaced.
      for arguments in [[], [], ["--force"]] {
        let rows = try Self.run(lines, arguments, in: folder)
        #expect(rows[1]["status"]?.string == "failed")
        #expect(rows[1]["error"]?["message"]?.string == "job line 1 already writes it")
        #expect(rows[2]["status"]?.string == (arguments.isEmpty ? "skipped" : "done"))
      }
    }
  }

  /// A killed run's leftovers do not prevent an image from being generated.
  @Test func previewsOfAnUnfinishedPictureAreReplaced() throws {
    try withTemporaryFolder { folder in
      let preview = folder + "/a-step-2.png"
      try Data("old".utf8).write(to: URL(filePath: preview))
      let rows = try Self.run(
        [#"{"prompt": "a star", "seed": 1, "output": "a.png"}"#],
        ["--preview-every", "2", "--preview", "latent", "--sidecar"], in: folder)
      #expect(Self.statuses(rows) == ["done"])
      #expect(
        rows[0]["pictures"]?.array?.first?["files"]?.array?.map(\.string)
          == ["a-step-2.png", "a.json"])
      #expect(try Data(contentsOf: URL(filePath: preview)).count > 100)
    }
  }

  @Test func memoryIsForeseenForEveryJob() throws {
    try withTemporaryFolder { folder in
      let rows = try Self.run(
        [
          #"{"prompt": "a star", "seed": 1}"#,
          #"{"prompt": "a star", "width": 8192, "height": 8192}"#,
        ], in: folder, environment: ["SDLOOM_MEMORY": String(400 << 20)])
      #expect(Self.statuses(rows) == ["done", "failed"])
      #expect(rows[1]["error"]?["code"]?.string == "memory")
      let odd = try Tool.run(
        "sdgen", ["a star", "-o", "b.png"] + BatchTests.flags, in: folder,
        environment: ["SDLOOM_MEMORY": "much"])
      #expect(odd.status == 64)
      #expect(
        odd.errors.contains("SDLOOM_MEMORY must be a number of bytes above 0 (got much)"),
        "\(odd.errors)")
    }
  }

  /// An incomplete line is not a job.
  @Test func interruptionWithinALine() throws {
    try withTemporaryFolder { folder in
      let script = """
        mkfifo jobs
        env --default-signal=INT "$0" batch - <jobs >results & pid=$!
        exec 3>jobs
        printf '{"prompt": ""\\n{"prom' >&3
        while [ ! -s results ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
        sleep 0.2; kill -INT $pid; wait $pid
        """
      let result = try Tool.launch("/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 130, "\(result.errors)")
      #expect(result.errors.contains("jobs: 1 failed"), "\(result.errors)")
    }
  }
}
