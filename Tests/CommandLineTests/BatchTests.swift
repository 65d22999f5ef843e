import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Many jobs in one run, and runs that are stopped.
@Suite(.serialized) struct BatchTests {
  static func jobs(_ lines: [String], in folder: String) throws {
    try Data((lines.joined(separator: "\n") + "\n").utf8)
      .write(to: URL(filePath: folder + "/jobs.jsonl"))
  }

  static func rows(_ result: Tool.Result) throws -> [JSON] {
    try result.output.split(separator: "\n").map { try JSON(parsing: String($0)) }
  }

  static let flags = [
    "--scheduler", "ddim", "--steps", "3", "--width", "64", "--height", "64", "--dtype", "f32",
  ]

  @Test func aBadJobDoesNotStopTheOthers() throws {
    try withTemporaryFolder { folder in
      try Self.jobs(
        [
          #"{"prompt": "a red circle", "seed": 1, "output": "a.png"}"#, "",
          #"{"prompt": "a star", "stepz": 3}"#, "not json", #"["a star"]"#,
          #"{"prompt": "a star", "steps": 0}"#, #"{"steps": 3}"#,
          #"{"prompt": "a star", "force": 1}"#, #"{"prompt": ["a", "b"]}"#,
          #"{"prompt": "a star", "init": "none.png"}"#,
          #"{"prompt": "a star", "seed": 2, "steps": 2, "negative": "-x", "json": false}"#,
        ], in: folder)
      let result = try Tool.run(
        "sdgen", ["batch", "jobs.jsonl"] + Self.flags, in: folder)
      #expect(result.status == 1, "\(result.errors)")
      #expect(result.errors.contains("jobs: 2 done, 8 failed"))
      let rows = try Self.rows(result)
      #expect(rows.map { $0["line"]?.int } == [1, 3, 4, 5, 6, 7, 8, 9, 10, 11])
      #expect(
        rows.map { $0["status"]?.string }
          == ["done"] + Array(repeating: "failed", count: 8) + ["done"])
      #expect(rows[1]["error"]?["message"]?.string?.contains("stepz") == true)
      #expect(rows[3]["error"]?["code"]?.string == "malformed")
      #expect(rows[7]["error"]?["code"]?.string == "usage")
      #expect(rows[8]["error"]?["code"]?.string == "not-found")
      #expect(rows[9]["pictures"]?.array?.first?["steps"]?.int == 2)
      #expect(rows[9]["pictures"]?.array?.first?["file"]?.string == "job-11.png")

      // The same images as one by one.
      let alone = try Tool.run(
        "sdgen", ["a red circle", "--seed", "1", "-o", "b.png"] + Self.flags, in: folder)
      #expect(alone.status == 0)
      #expect(
        try Data(contentsOf: URL(filePath: folder + "/a.png"))
          == Data(contentsOf: URL(filePath: folder + "/b.png")))
    }
  }

  @Test func whatIsDoneIsSkipped() throws {
    try withTemporaryFolder { folder in
      try Self.jobs(
        (0..<4).map {
          #"{"prompt": "a star", "seed": \#($0), "output": "\#($0).png", "count": \#($0 == 3 ? 2 : 1)}"#
        },
        in: folder)
      let arguments = ["batch", "jobs.jsonl"] + Self.flags
      #expect(try Tool.run("sdgen", arguments, in: folder).status == 0)
      let kept = try Data(contentsOf: URL(filePath: folder + "/0.png"))
      try FileManager.default.removeItem(atPath: folder + "/1.png")
      try FileManager.default.removeItem(atPath: folder + "/3-2.png")
      let second = try Tool.run("sdgen", arguments, in: folder)
      #expect(second.status == 0, "\(second.errors)")
      let rows = try Self.rows(second)
      #expect(
        rows.map { $0["status"]?.string } == ["skipped", "done", "skipped", "done"])
      #expect(rows[3]["skipped"]?.array?.first?.string == "3-1.png")
      #expect(rows[3]["pictures"]?.array?.map { $0["seed"]?.int } == [4])
      #expect(try Data(contentsOf: URL(filePath: folder + "/0.png")) == kept)
      let forced = try Tool.run("sdgen", arguments + ["--force"], in: folder)
      #expect(try Self.rows(forced).allSatisfy { $0["status"]?.string == "done" })
    }
  }

  @Test func argumentsOfABatch() throws {
    try withTemporaryFolder { folder in
      try Self.jobs([#"{"prompt": "a star"}"#], in: folder)
      for (arguments, status) in [
        (["no.jsonl"], 66), (["jobs.jsonl", "-o", "a.png"], 64), (["jobs.jsonl", "--bogus"], 64),
        ([], 64),
      ] {
        let result = try Tool.run("sdgen", ["batch"] + arguments, in: folder)
        #expect(result.status == status, "\(arguments): \(result.errors)")
      }
    }
  }

  /// The first interrupt drops the current image; finished ones stay, and no partial files are
  /// left.
  @Test func interruption() throws {
    try withTemporaryFolder { folder in
      let script = """
        env --default-signal=INT "$0" "a red circle" --steps 60 --scheduler ddim --count 200 \
          -o a.png & pid=$!
        while [ ! -e a-2.png ]; do sleep 0.05; done
        kill -INT $pid; wait $pid
        """
      // Without job control, a shell makes its background programs ignore interrupts.
      let result = try Tool.launch(
        "/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 130, "\(result.errors)")
      #expect(result.errors.contains("cancelled after"))
      #expect(result.output.contains("wrote a-2.png"))
      let files = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(files.count >= 2 && files.count < 200)
      for file in files {
        #expect(throws: Never.self) { try PictureFile.read("\(folder)/\(file)") }
      }
    }
  }

  /// A run that waits for its next job ends at once.
  @Test func interruptionWhileWaiting() throws {
    try withTemporaryFolder { folder in
      let script = """
        mkfifo jobs
        env --default-signal=INT "$0" batch - <jobs >results & pid=$!
        exec 3>jobs
        echo '{"prompt": ""' >&3
        while [ ! -s results ]; do sleep 0.05; done
        sleep 0.2; kill -INT $pid; wait $pid
        """
      let result = try Tool.launch("/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 130, "\(result.errors)")
      #expect(result.errors.contains("jobs: 1 failed"))
    }
  }

  /// Killed midway and run again, a batch ends with every image complete.
  @Test func killedAndRunAgain() throws {
    try withTemporaryFolder { folder in
      try Self.jobs(
        (0..<30).map { #"{"prompt": "a star", "seed": \#($0), "output": "\#($0).png"}"# },
        in: folder)
      let script = """
        "$0" batch jobs.jsonl --steps 20 --scheduler ddim & pid=$!
        while [ ! -e 3.png ]; do sleep 0.02; done
        kill -KILL $pid; wait $pid
        """
      let killed = try Tool.launch("/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(killed.status == 137)
      let result = try Tool.run(
        "sdgen", ["batch", "jobs.jsonl", "--steps", "20", "--scheduler", "ddim"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(names == ((0..<30).map { "\($0).png" } + ["jobs.jsonl"]).sorted())
      for index in 0..<30 {
        #expect(throws: Never.self) { try PictureFile.read("\(folder)/\(index).png") }
      }
    }
  }

  /// A hundred images in one run take no more memory at the end than after the first.
  @Test func memoryStays() throws {
    try withTemporaryFolder { folder in
      try Self.jobs(
        (0..<100).map { #"{"prompt": "a star", "seed": \#($0), "output": "\#($0).png"}"# },
        in: folder)
      let result = try Tool.run("sdgen", ["batch", "jobs.jsonl"] + Self.flags, in: folder)
      let memory = try Self.rows(result).compactMap { $0["memory_bytes"]?.int }
      #expect(memory.count == 100)
      #expect(Double(memory[99]) < 1.02 * Double(memory[0]), "\(memory[0]) to \(memory[99])")
    }
  }

  /// What does not fit is rejected before anything is loaded. 12 MiB is less than the weights in
  /// bf16.
  @Test func memoryIsForeseen() throws {
    try withTemporaryFolder { folder in
      func draw(_ megabytes: Int, _ arguments: [String]) throws -> Tool.Result {
        try Tool.run(
          "sdgen", ["a star", "-o", "a.png"] + Self.flags + arguments,
          in: folder, environment: ["SDLOOM_MEMORY": String(megabytes << 20)])
      }
      let refused = try draw(12, [])
      #expect(refused.status == 64)
      #expect(refused.errors.contains("of memory (12.0 MiB in total)"), "\(refused.errors)")
      #expect(refused.errors.contains("use a smaller image"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
      let forced = try draw(12, ["--force"])
      #expect(forced.status == 0)
      #expect(forced.errors.contains("warning: generation needs about"))
      let fits = try draw(400, ["--force"])
      #expect(fits.status == 0)
      #expect(!fits.errors.contains("of memory"))
    }
  }
}
