import Foundation
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// `--engine` and `--onnxruntime`; what ONNX Runtime computes is tested in DiffusionTests.
@Suite(.serialized) struct EngineOptionTests {
  private static func draw(
    _ arguments: [String], cache: String, to path: String
  ) throws -> Tool.Result {
    try Tool.launch(
      "/usr/bin/env",
      [
        "SDLOOM_CACHE=\(cache)", "\(Tool.folder)/sdgen", GenerateTests.prompt, "--steps", "3",
        "--seed", "1", "--scheduler", "ddim", "-o", path,
      ] + arguments)
  }

  private static func library() throws -> String { try #require(Fixtures.onnxRuntime) }

  @Test(.onnxRuntime) func drawnAndDrawnAgain() throws {
    try withTemporaryFolder { folder in
      let cache = folder + "/cache"
      let runtime = ["--onnxruntime", try Self.library()]
      let own = try Self.draw(["--dtype", "f32"], cache: cache, to: folder + "/own.png")
      #expect(own.status == 0, "\(own.errors)")
      #expect(!FileManager.default.fileExists(atPath: cache))
      let other = try Self.draw(
        ["--engine", "onnxruntime"] + runtime, cache: cache, to: folder + "/other.png")
      #expect(other.status == 0, "\(other.errors)")
      let pictures = try ["own", "other"].map { try PNG.read("\(folder)/\($0).png").image }
      #expect(peakSignalToNoise(pictures[1], pictures[0]) > 80)
      #expect(try FileManager.default.contentsOfDirectory(atPath: cache).count == 3)
      // The file says which engine made it.
      let info = try Tool.run("sdgen", ["info", folder + "/other.png", "--json"])
      let job = try JSON(parsing: info.output)["job"]
      #expect(job?["arguments"]?["engine"] == "onnxruntime")
      #expect(job?["arguments"]?["onnxruntime"] == nil)
    }
  }

  /// Nothing is written without the library.
  @Test func noLibrary() throws {
    try withTemporaryFolder { folder in
      try "no library".write(
        toFile: folder + "/libonnxruntime.so", atomically: true, encoding: .utf8)
      for place in ["/nowhere", folder + "/libonnxruntime.so"] {
        let result = try Self.draw(
          ["--engine", "onnxruntime", "--onnxruntime", place], cache: folder + "/cache",
          to: folder + "/a.png")
        #expect(result.status == 66, "\(result.errors)")
        #expect(result.errors.contains(place) && result.errors.contains("hint: "))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["libonnxruntime.so"])
    }
  }

  /// A cache that cannot be written ends the run, and leaves no image.
  @Test(.onnxRuntime) func noCache() throws {
    try withTemporaryFolder { folder in
      try "a file".write(toFile: folder + "/cache", atomically: true, encoding: .utf8)
      let result = try Self.draw(
        ["--engine", "onnxruntime", "--onnxruntime", Self.library()], cache: folder + "/cache",
        to: folder + "/a.png")
      #expect(result.status == 73, "\(result.errors)")
      #expect(result.errors.contains(folder + "/cache"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["cache"])
    }
  }

  @Test(.onnxRuntime) func unknownProvider() throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(
        ["--engine", "onnxruntime:magic", "--onnxruntime", Self.library()],
        cache: folder + "/cache", to: folder + "/a.png")
      #expect([64, 66].contains(result.status), "\(result.errors)")
      #expect(result.errors.contains("magic") && result.errors.contains("hint: "))
    }
  }

  @Test(arguments: [
    (["--onnxruntime", "/nowhere"], "--engine"),
    (["--engine", "onnxruntime", "--low-memory"], "--low-memory"),
    (["--engine", "onnxruntime", "--dtype", "bf16"], "--dtype"),
    (["--engine", "onnxruntime:cuda", "--dtype", "bf16"], "--dtype"),
  ])
  func combinations(_ arguments: [String], named: String) throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(arguments, cache: folder + "/cache", to: folder + "/a.png")
      #expect(result.status == 64 && result.errors.contains(named), "\(result.errors)")
    }
  }
}
