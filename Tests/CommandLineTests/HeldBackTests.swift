import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// Images that are withheld, or that fail while others succeed.
@Suite(.serialized) struct HeldBackTests {
  private static let watching = [
    "--preview-every", "1", "--preview", "latent", "--contact-sheet", "sheet.png", "--animation",
    "a.webp", "--save-latents", "l.safetensors", "--sidecar",
  ]

  /// No file that shows a flagged image remains; of two passes only the first is run.
  @Test(arguments: [[], ["--hires", "2"]])
  func nothingOfAFlaggedPictureStays(arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let model = try CheckedModel.make(in: folder)
      let result = try PictureTests.draw(
        ["--model", model, "--width", "64", "--height", "64", "--json"] + Self.watching + arguments,
        in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(files == ["model", "out.json", "out.png"])
      let image = try PictureFile.read("\(folder)/out.png").image
      #expect((image.width, image.height) == (64, 64))
      #expect(image.pixels.allSatisfy { $0 == 0 })
      let json = try JSON(parsing: result.output)
      #expect(json["pictures"]?.array?.first?["safety"]?["flagged"] == true)
      #expect(json["pictures"]?.array?.first?["files"]?.array?.map(\.string) == ["out.json"])
      #expect(json["files"]?.array?.isEmpty == true)
      // Four steps of one pass.
      #expect(json["timings"]?["unet"]?.array?.count == 4)
      let warnings = json["warnings"]?.array?.compactMap(\.string) ?? []
      #expect(warnings.contains { $0.contains("are not saved") }, "\(warnings)")
      #expect(warnings.contains { $0.contains("blacked it out") }, "\(warnings)")
    }
  }

  @Test func withoutACheckerAllStays() throws {
    try withTemporaryFolder { folder in
      let model = try CheckedModel.make(in: folder)
      let result = try PictureTests.draw(
        ["--model", model, "--width", "64", "--height", "64", "--no-safety-checker"]
          + Self.watching, in: folder)
      #expect(result.status == 0, "\(result.errors)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(
        files == [
          "a.webp", "l.safetensors", "model", "out-step-1.png", "out-step-2.png", "out-step-3.png",
          "out.json", "out.png", "sheet.png",
        ])
    }
  }

  /// Noise for two images; the second overflows.
  private static func noise(in folder: String) throws {
    let noise = CheckedModel.floats("noise", [2, 4, 8, 8]) { index in
      index < 256 ? Float(sin(Double(index) * 12.9)) : 3e38
    }
    try Safetensors.write([noise], to: "\(folder)/noise.safetensors")
  }

  /// An error in one of several images: those before it are kept and reported.
  @Test(arguments: ["1", "2"])
  func picturesBeforeAnErrorAreKept(batchSize: String) throws {
    try withTemporaryFolder { folder in
      try Self.noise(in: folder)
      let arguments = [
        "--latents", "noise.safetensors", "--dtype", "f32", "--batch-size", batchSize, "-o",
      ]
      let text = try PictureTests.draw(arguments + ["a.png"], in: folder)
      #expect(text.status == 70 || text.status == 65, "\(text.status): \(text.errors)")
      #expect(text.output.contains("wrote a-1.png: "))
      #expect(
        text.errors.contains("contain infinity or NaN after evaluation 1 of 4"), "\(text.errors)")
      let json = try PictureTests.draw(arguments + ["b.png", "--json"], in: folder)
      #expect(json.status == text.status)
      let pictures = try JSON(parsing: json.output)["pictures"]?.array
      #expect(pictures?.map { $0["file"]?.string } == ["b-1.png"])
      #expect(try JSON(parsing: json.errors)["error"]?["code"]?.string == "not-finite")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(files == ["a-1.png", "b-1.png", "noise.safetensors"])
    }
  }

  /// Previews of images that are regenerated one by one are rewritten; those of the failed image
  /// are removed.
  @Test(arguments: ["1", "2"])
  func previewsOfAnErrorAreRemoved(batchSize: String) throws {
    try withTemporaryFolder { folder in
      try Self.noise(in: folder)
      let result = try PictureTests.draw(
        [
          "--latents", "noise.safetensors", "--dtype", "f32", "--batch-size", batchSize,
          "--preview-every", "1", "--preview", "latent", "--trace", "t.json", "--json",
        ], in: folder)
      #expect(try JSON(parsing: result.errors)["error"]?["code"]?.string == "not-finite")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(
        files == ["noise.safetensors", "out-1-step-1.png", "out-1-step-2.png", "out-1-step-3.png"]
          + ["out-1.png", "t.json"])
      #expect(try JSON(parsing: result.output)["files"]?.array?.map(\.string) == ["t.json"])
    }
  }

  /// A run that ends without an image leaves nothing that would stop the next.
  @Test func nothingStaysWithoutAPicture() throws {
    try withTemporaryFolder { folder in
      let script = """
        env --default-signal=INT "$0" "a red circle" --steps 200 --scheduler ddim -o a.png \
          --preview-every 1 --preview latent --trace t.json & pid=$!
        while [ ! -e a-step-2.png ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
        kill -INT $pid; wait $pid
        """
      let result = try Tool.launch(
        "/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 130, "\(result.errors)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// A file that could not be moved into place is not reported as written.
  @Test func filesThatAreNotWrittenAreNotTold() throws {
    try withTemporaryFolder { folder in
      let script = """
        "$0" "a red circle" --steps 100 --scheduler ddim --count 2 --json -o a.png \
          --save-latents l.safetensors & pid=$!
        while [ ! -e a-1.png ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done
        touch l.safetensors; wait $pid
        """
      let result = try Tool.launch(
        "/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 73, "\(result.errors)")
      let json = try JSON(parsing: result.output)
      #expect(json["files"]?.array?.isEmpty == true)
      #expect(json["pictures"]?.array?.map { $0["file"]?.string } == ["a-1.png"])
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(files == ["a-1.png", "l.safetensors"])
    }
  }

  @Test func picturesBeforeAnErrorAreKeptInABatch() throws {
    try withTemporaryFolder { folder in
      try Self.noise(in: folder)
      try BatchTests.jobs(
        [
          #"{"prompt": "a star", "latents": "noise.safetensors", "output": "a.png"}"#,
          #"{"prompt": "a star", "seed": 1, "output": "b.png"}"#,
        ], in: folder)
      let flags = ["--scheduler", "ddim", "--steps", "3", "--dtype", "f32"]
      let result = try Tool.run("sdgen", ["batch", "jobs.jsonl"] + flags, in: folder)
      #expect(result.status == 1, "\(result.errors)")
      let rows = try BatchTests.rows(result)
      #expect(rows.map { $0["status"]?.string } == ["failed", "done"])
      #expect(rows[0]["pictures"]?.array?.map { $0["file"]?.string } == ["a-1.png"])
      #expect(rows[0]["error"]?["code"]?.string == "not-finite")
      #expect(FileManager.default.fileExists(atPath: "\(folder)/a-1.png"))
      #expect(!FileManager.default.fileExists(atPath: "\(folder)/a-2.png"))
    }
  }

  /// A job stopped with --force leaves the files for all of its images unchanged.
  @Test func aStoppedJobReplacesNothingInPart() throws {
    try withTemporaryFolder { folder in
      try Data(
        #"""
        {"prompt":"a red circle","steps":40,"scheduler":"ddim","count":200,"output":"a.png","save-latents":"l.safetensors"}
        """#.utf8
      ).write(to: URL(filePath: "\(folder)/jobs.jsonl"))
      try Data("kept".utf8).write(to: URL(filePath: "\(folder)/l.safetensors"))
      let script = """
        env --default-signal=INT "$0" batch jobs.jsonl --force & pid=$!
        while [ ! -e a-2.png ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
        kill -INT $pid; wait $pid
        """
      let result = try Tool.launch(
        "/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 130, "\(result.errors)")
      #expect(try String(contentsOfFile: "\(folder)/l.safetensors", encoding: .utf8) == "kept")
      #expect(FileManager.default.fileExists(atPath: "\(folder)/a-2.png"))
    }
  }

  /// Ctrl-C while a program reads: stdout and stderr contain JSON and nothing else.
  @Test func interruptionInJSON() throws {
    try withTemporaryFolder { folder in
      let script = """
        env --default-signal=INT "$0" "a red circle" --steps 60 --scheduler ddim --count 200 \
          -o a.png --json & pid=$!
        while [ ! -e a-2.png ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
        kill -INT $pid; wait $pid
        """
      let result = try Tool.launch(
        "/bin/bash", ["-c", script, "\(Tool.folder)/sdgen"], in: folder)
      #expect(result.status == 130, "\(result.errors)")
      let pictures = try #require(JSON(parsing: result.output)["pictures"]?.array)
      #expect(pictures.count >= 2)
      for picture in pictures {
        let file = try #require(picture["file"]?.string)
        #expect(throws: Never.self) { try PictureFile.read("\(folder)/\(file)") }
      }
      let error = try JSON(parsing: result.errors)
      #expect(error["error"]?["code"]?.string == "cancelled", "\(result.errors)")
    }
  }

  /// A damaged init image is accepted with a warning, as in other programs.
  @Test func damageIsTold() throws {
    try withTemporaryFolder { folder in
      let jpeg = try PictureTests.bytes(Fixtures.path("pictures/source.jpg"))
      let scan = try #require(
        jpeg.indices.dropLast().first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA })
      try Data(Array(jpeg[..<scan]) + [0, 1] + Array(jpeg[scan...]))
        .write(to: URL(filePath: "\(folder)/odd.jpg"))
      let result = try PictureTests.draw(["--init", "odd.jpg"], in: folder)
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("warning: odd.jpg is damaged"), "\(result.errors)")
      let json = try PictureTests.draw(
        ["--init", PictureTests.source, "--mask", "odd.jpg", "-o", "b.png", "--json"], in: folder)
      let warnings = try JSON(parsing: json.output)["warnings"]?.array?.compactMap(\.string) ?? []
      #expect(warnings.contains { $0.contains("odd.jpg is damaged") }, "\(warnings)")
    }
  }
}
