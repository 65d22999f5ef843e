import Foundation
import OrderedJSON
import TestSupport
import Testing

/// Impossible requests are rejected before weights are read.
@Suite struct RequestCheckTests {
  /// Memory is checked just before weights are read; with so little of it, only earlier checks give
  /// other errors.
  private static let little = ["SDLOOM_MEMORY": "1000"]

  @Test func littleMemoryIsTheLastReason() throws {
    try withTemporaryFolder { folder in
      let result = try Tool.run("sdgen", ["a"], in: folder, environment: Self.little)
      #expect(result.status == 64 && result.errors.contains("of memory"), "\(result.errors)")
    }
  }

  @Test(arguments: [
    ("--eta 0.5 --scheduler euler", "no eta"),
    ("--spacing trailing --scheduler tcd", "its own spacing"),
    ("--sigmas karras --scheduler ddim", "does not accept sigmas"),
    ("--sigmas karras", "does not accept sigmas"),
    ("--pndm-start repeat --scheduler lms", "no Runge-Kutta"),
    ("--pndm-start runge-kutta --steps 3", "4 steps or more"),
    ("--scheduler lcm --steps 60", "up to 50 steps"),
    ("--scheduler ddim --steps 1000", "use fewer steps"),
    ("--scheduler dpmpp-2m --steps 1000", "fewer than 1000 steps"),
    ("--scheduler euler --spacing trailing --steps 61", "one step more or fewer"),
    ("--clip-skip 5", "1 (the last layer) to 4"),
    ("--hires 8 --steps 1", "raise --hires-strength or --hires-steps"),
    ("--hires 2 --hires-strength 0.1 --hires-steps 9 --scheduler ddim", "raise --hires-strength"),
    ("--hires 2 --hires-steps 1000 --scheduler ddim", "use fewer steps"),
    ("--hires 8 --width 2048", "(maximum 8192)"),
    ("--hires 1.01 --width 64 --height 64", "a scale of 1.125 or more"),
    ("--hires 1.001 --width 376 --height 376", "a scale of 1.0213 or more"),
    (
      "--init SOURCE --strength 0.1 --steps 4 --scheduler ddim",
      "increase the strength or the number of steps"
    ),
  ])
  func misfits(words: String, says: String) throws {
    let arguments = words.split(separator: " ").map {
      $0 == "SOURCE" ? PictureTests.source : String($0)
    }
    try withTemporaryFolder { folder in
      let result = try Tool.run(
        "sdgen", ["a"] + arguments, in: folder, environment: Self.little)
      #expect(result.status == 64, "\(words): \(result.errors)")
      #expect(result.errors.contains(says), "\(words): \(result.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// The same for the jobs of a batch, also if the model is already loaded.
  @Test func misfitsOfJobs() throws {
    try withTemporaryFolder { folder in
      try BatchTests.jobs(
        [
          #"{"prompt": "a", "scheduler": "lcm", "steps": 60}"#,
          #"{"prompt": "a", "scheduler": "euler-a", "steps": 2, "seed": 1}"#,
          #"{"prompt": "a", "scheduler": "lcm", "steps": 60}"#,
        ], in: folder)
      let result = try Tool.run("sdgen", ["batch", "jobs.jsonl"], in: folder)
      let rows = try BatchTests.rows(result)
      #expect(rows.map { $0["status"]?.string } == ["failed", "done", "failed"])
      for row in [rows[0], rows[2]] {
        #expect(row["error"]?["code"]?.string == "request")
        #expect(row["error"]?["hint"]?.string?.contains("up to 50 steps") == true)
      }
    }
  }

  /// The repository's configuration counts, not the defaults.
  @Test func theConfigurationDecides() throws {
    try withTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: model)
      let file = model + "/scheduler/scheduler_config.json"
      try Data(#"{"_class_name": "LCMScheduler", "original_inference_steps": 20}"#.utf8)
        .write(to: URL(filePath: file))
      for (steps, says) in [("21", "up to 20 steps"), ("20", "of memory")] {
        let result = try Tool.run(
          "sdgen", ["a", "--model", model, "--steps", steps], in: folder,
          environment: Self.little)
        #expect(result.status == 64 && result.errors.contains(says), "\(result.errors)")
      }
    }
  }
}
