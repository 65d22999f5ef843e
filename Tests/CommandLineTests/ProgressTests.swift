import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Progress messages of long runs.
@Suite(.serialized) struct ProgressTests {
  private static func draw(
    _ arguments: [String], every seconds: String?, in folder: String
  ) throws -> Tool.Result {
    try Tool.run(
      "sdgen", ["a star", "--steps", "8", "--force", "--guidance", "4"] + arguments, in: folder,
      environment: seconds.map { ["SDLOOM_PROGRESS": $0] } ?? [:])
  }

  /// Eight PNDM steps take nine evaluations, which are shown as such.
  @Test func linesWhereNoTerminalIs() throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(["--count", "2"], every: "0.0000001", in: folder)
      #expect(result.status == 0)
      for words in [
        "loading: ", "image 1 of 2: evaluation 9 of 9, ", "image 2 of 2: evaluation 2 of 9, ",
        " each, ", " left\n",
      ] {
        #expect(result.errors.contains(words), "\(words): \(result.errors)")
      }
      #expect(!result.errors.contains("step "))
      #expect(!result.errors.contains("\u{1B}"))
    }
  }

  /// Networks are released and reloaded only if one image is generated; then the VAE is loaded
  /// silently when the others are gone. A file of several noises yields several images.
  @Test(arguments: [1, 2])
  func networksStayForSeveralNoises(count: Int) throws {
    try withTemporaryFolder { folder in
      let noise = CheckedModel.floats("noise", [count, 4, 8, 8]) {
        Float(sin(Double($0) * 12.9))
      }
      try Safetensors.write([noise], to: folder + "/noise.safetensors")
      let result = try Self.draw(
        ["--latents", "noise.safetensors"], every: "0.0000001", in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("loading: unet"))
      #expect(result.errors.contains("loading: vae") == (count > 1), "\(result.errors)")
    }
  }

  /// A short run prints no progress, nor does one with --quiet.
  @Test func silence() throws {
    try withTemporaryFolder { folder in
      for seconds in [nil, "0"] {
        #expect(try Self.draw([], every: seconds, in: folder).errors.isEmpty)
      }
      let json = try Self.draw(["--json"], every: "0.0000001", in: folder)
      #expect(json.errors.isEmpty)
      #expect(try JSON(parsing: json.output)["version"] == 1)
      let quiet = try Self.draw(
        ["--quiet", "--seed", "1", "--embedding", Fixtures.path("diffusion/embedding.pt")],
        every: "0.0000001", in: folder)
      // Not even the note that the prompt does not contain the embedding.
      #expect(quiet.status == 0 && quiet.output.isEmpty && quiet.errors.isEmpty, "\(quiet.errors)")
      let again = try Tool.run("sdgen", ["again", "out.png", "--quiet", "--force"], in: folder)
      #expect(again.status == 66, "the embedding is not beside the picture")
      let profile = try Self.draw(["--quiet", "--profile"], every: nil, in: folder)
      #expect(profile.output.hasPrefix("component"), "\(profile.output)")
      let error = try Self.draw(["--quiet", "--steps", "0"], every: nil, in: folder)
      #expect(error.errors.hasPrefix("error: "))
    }
  }

  @Test func ofABatch() throws {
    try withTemporaryFolder { folder in
      try BatchTests.jobs(["", #"{"prompt": "a star", "steps": 3}"#], in: folder)
      func run(_ arguments: [String]) throws -> Tool.Result {
        try Tool.run(
          "sdgen", ["batch", "jobs.jsonl", "--force"] + arguments, in: folder,
          environment: ["SDLOOM_PROGRESS": "0.0000001"])
      }
      let spoken = try run([])
      #expect(spoken.errors.contains("line 2, drawing: evaluation 4 of 4"), "\(spoken.errors)")
      #expect(spoken.errors.hasSuffix("jobs: 1 done\n"))
      let read = try run(["--json"])
      #expect(read.errors.isEmpty)
      #expect(try BatchTests.rows(read).count == 1)
      let quiet = try run(["--quiet"])
      #expect(quiet.errors.isEmpty)
      #expect(try BatchTests.rows(quiet).count == 1)
    }
  }

  @Test func onATerminal() throws {
    try withTemporaryFolder { folder in
      let arguments = ["a star", "--steps", "3", "-o", folder + "/a.png", "--force"]
      let spoken = try PseudoTerminal.run("sdgen", arguments, columns: 80)
      #expect(spoken.contains("evaluation 4 of 4") && !spoken.contains("step 4"))
      #expect(try PseudoTerminal.run("sdgen", arguments + ["--quiet"], columns: 80).isEmpty)
    }
  }
}
