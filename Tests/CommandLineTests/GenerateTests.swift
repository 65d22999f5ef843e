import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// The golden images of the bundled model: prompt 0, seed 42, guidance 3, 20 steps, made by the
/// reference pipeline (Fixtures/shapes-v2/golden/versions.json says how).
@Suite(.serialized) struct GenerateTests {
  static let prompt = "a red circle on a blue background"

  static func draw(_ arguments: [String], to path: String) throws -> Tool.Result {
    try Tool.run("sdgen", [prompt, "-o", path] + arguments)
  }

  static func golden(_ name: String) throws -> [Float] {
    let (file, tensor) = (name.split(separator: "/")[0], name.split(separator: "/")[1])
    let golden = try TensorFile.open(Fixtures.path("shapes-v2/golden/\(file).safetensors"))
    return try floats(#require(golden[String(tensor)]))
  }

  static func floats(_ tensor: Tensor) -> [Float] {
    tensor.withContiguousBytes { bytes in
      (0..<tensor.elementCount).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
  }

  /// ‖a - b‖ / ‖b‖
  static func difference(_ values: [Float], from reference: [Float]) -> Double {
    let pairs = zip(values, reference).map { (Double($0), Double($1)) }
    let distance = pairs.reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    let norm = pairs.reduce(0) { $0 + $1.1 * $1.1 }
    return (distance / norm).squareRoot()
  }

  @Test(arguments: ["pndm", "ddim", "lms"])
  func latentsAreTheReferences(scheduler: String) throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(
        [
          "--seed", "42", "--guidance", "3", "--steps", "20", "--scheduler", scheduler, "--dtype",
          "f32", "--save-latents", folder + "/latents.safetensors", "--json",
        ], to: folder + "/picture.png")
      #expect(result.status == 0, "\(result.errors)")
      let trace = try Self.golden("\(scheduler)/trace")
      let saved = try TensorFile.open(folder + "/latents.safetensors")
      let latents = try Self.floats(#require(saved["latents"]))
      #expect(latents.count == 4 * 16 * 16)
      let difference = Self.difference(latents, from: trace.suffix(latents.count))
      #expect(difference < 1e-3, "\(difference)")

      let report = try JSON(parsing: result.output)
      let picture = try #require(report["pictures"]?.array?.first)
      #expect(picture["file"]?.string == folder + "/picture.png")
      #expect(picture["seed"] == 42)
      #expect(picture["width"] == 128)
      #expect(picture["height"] == 128)
      #expect(picture["steps"] == 20)
      #expect(picture["scheduler"]?.string == scheduler)
      #expect(picture["guidance"]?.double == 3)
      let timings = try #require(report["timings"])
      // PNDM evaluates the UNet once more: its second timestep occurs twice.
      #expect(timings["unet"]?.array?.count == (scheduler == "pndm" ? 21 : 20))
      for part in ["load", "text_encoder", "scheduler", "vae", "total"] {
        #expect((timings[part]?.double ?? -1) >= 0, "\(part)")
      }
      #expect((report["peak_memory_bytes"]?.int ?? 0) > 1 << 20)
    }
  }

  /// The same weights from every layout that is written, and from a repository of .bin files.
  @Test func everyLayoutGivesTheSamePicture() throws {
    try withTemporaryFolder { folder in
      let model = Fixtures.path("shapes-v2")
      var models = [model]
      let layouts: [(source: String, name: String, options: [String])] = [
        (model, "safetensors", ["--to", "safetensors"]),
        (model, "model.sdflat", ["--to", "sdflat"]),
        (model, "model.safetensors", ["--to", "ldm"]),
        (model, "model.gguf", ["--to", "gguf"]),
        ("\(folder)/model.safetensors", "bin", ["--to", "diffusers", "--format", "bin"]),
      ]
      for layout in layouts {
        let path = "\(folder)/\(layout.name)"
        let result = try Tool.run("sdinspect", ["convert", layout.source, path] + layout.options)
        #expect(result.status == 0, "\(result.errors)")
        models.append(path)
      }
      var pictures: [Data] = []
      for (index, model) in models.enumerated() {
        let path = "\(folder)/\(index).png"
        let result = try Self.draw(
          ["--model", model, "--seed", "3", "--steps", "4", "--guidance", "4", "--no-metadata"],
          to: path)
        #expect(result.status == 0, "\(model): \(result.errors)")
        pictures.append(try Data(contentsOf: URL(filePath: path)))
      }
      #expect(pictures[0].count > 1000)
      for (model, picture) in zip(models, pictures) {
        #expect(picture == pictures[0], "\(model)")
      }
    }
  }

  @Test func theEmbeddedModelHasItsOwnGuidance() throws {
    try withTemporaryFolder { folder in
      let said = try Self.draw(["--steps", "2"], to: folder + "/b.png")
      #expect(said.errors.contains("guidance 3"))
      let result = try Self.draw(["--steps", "2", "--json"], to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.isEmpty)
      let report = try JSON(parsing: result.output)
      #expect(report["pictures"]?.array?.first?["guidance"]?.double == 3)
    }
  }

  @Test func severalPicturesHaveSeedsInARow() throws {
    try withTemporaryFolder { folder in
      let several = try Self.draw(
        ["--steps", "3", "--count", "2", "--seed", "7", "--json"], to: folder + "/a.png")
      #expect(several.status == 0, "\(several.errors)")
      let pictures = try #require(try JSON(parsing: several.output)["pictures"]?.array)
      #expect(pictures.map { $0["seed"]?.int } == [7, 8])
      #expect(pictures.map { $0["file"]?.string } == ["\(folder)/a-1.png", "\(folder)/a-2.png"])
      let alone = try Self.draw(["--steps", "3", "--seed", "8"], to: folder + "/b.png")
      #expect(alone.status == 0)
      #expect(
        try Data(contentsOf: URL(filePath: folder + "/a-2.png"))
          == Data(contentsOf: URL(filePath: folder + "/b.png")))
    }
  }

  @Test func savedNoiseGivesTheSamePicture() throws {
    try withTemporaryFolder { folder in
      let latents = folder + "/latents.safetensors"
      let first = try Self.draw(
        ["--steps", "3", "--seed", "5", "--save-latents", latents, "--no-metadata"],
        to: folder + "/a.png")
      #expect(first.status == 0, "\(first.errors)")
      let second = try Self.draw(
        ["--steps", "3", "--seed", "6", "--latents", latents, "--no-metadata"],
        to: folder + "/b.png")
      #expect(second.status == 0, "\(second.errors)")
      #expect(
        try Data(contentsOf: URL(filePath: folder + "/a.png"))
          == Data(contentsOf: URL(filePath: folder + "/b.png")))
    }
  }

  @Test func previewsAreWritten() throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(
        ["--steps", "6", "--scheduler", "ddim", "--preview-every", "2"], to: folder + "/a.png")
      #expect(result.status == 0, "\(result.errors)")
      let files = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(files == ["a-step-2.png", "a-step-4.png", "a.png"])
    }
  }

  @Test func aSizeIsDrawnAsAsked() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.png"
      let result = try Self.draw(
        ["--steps", "2", "--width", "200", "--height", "72"], to: path)
      #expect(result.status == 0, "\(result.errors)")
      // Width and height are at byte 16 of a PNG, big-endian.
      let header = try Data(contentsOf: URL(filePath: path)).prefix(24).map { Int($0) }
      #expect(header[18] * 256 + header[19] == 200)
      #expect(header[22] * 256 + header[23] == 72)
    }
  }

  @Test func profileNamesEveryComponent() throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(
        ["--steps", "2", "--scheduler", "ddim", "--profile"], to: folder + "/a.png")
      for name in ["load", "text encoder", "UNet", "scheduler", "VAE", "total", "peak memory"] {
        #expect(result.output.contains(name), "\(name)")
      }
    }
  }

  @Test func aLongPromptIsSaidToBeCut() throws {
    try withTemporaryFolder { folder in
      let long = String(repeating: "a red circle and ", count: 30)
      let result = try Tool.run(
        "sdgen",
        [long, "--plain-prompt", "--steps", "1", "--scheduler", "ddim", "-o", folder + "/a.png"])
      #expect(result.status == 0, "\(result.errors)")
      #expect(result.errors.contains("tokens too long; dropped: "))
    }
  }

  @Test func nothingIsOverwritten() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.png"
      try Data("mine".utf8).write(to: URL(filePath: path))
      let refused = try Self.draw(["--steps", "2"], to: path)
      #expect(refused.status == 73)
      #expect(refused.errors.contains("--force"))
      #expect(try Data(contentsOf: URL(filePath: path)) == Data("mine".utf8))
      let forced = try Self.draw(["--steps", "2", "--force"], to: path)
      #expect(forced.status == 0, "\(forced.errors)")
      #expect(try Data(contentsOf: URL(filePath: path)).count > 1000)
    }
  }

  /// What cannot be written is rejected before anything is drawn.
  @Test func outputsAreCheckedFirst() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.png"
      let twice = try Self.draw(["--steps", "2", "--save-latents", path], to: path)
      #expect(twice.status == 73)
      try Data().write(to: URL(filePath: folder + "/a-step-2.png"))
      let preview = try Self.draw(["--steps", "4", "--preview-every", "2"], to: path)
      #expect(preview.status == 73)
      // Two evaluations for each step but the last: there are previews up to the fourth.
      try Data().write(to: URL(filePath: folder + "/b-step-4.png"))
      try Data().write(to: URL(filePath: folder + "/c-step-5.png"))
      let heun = ["--steps", "3", "--scheduler", "heun", "--preview-every", "1"]
      let size = ["--width", "64", "--height", "64"]
      #expect(try Self.draw(heun + size, to: folder + "/b.png").status == 73)
      #expect(try Self.draw(heun + size, to: folder + "/c.png").status == 0)
      let directory = try Self.draw(["--steps", "2", "--force"], to: folder)
      #expect(directory.status == 73)
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }

  @Test func noiseAndOptionsMustAgree() throws {
    try withTemporaryFolder { folder in
      let latents = folder + "/latents.safetensors"
      let first = try Self.draw(
        ["--steps", "1", "--scheduler", "ddim", "--save-latents", latents], to: folder + "/a.png")
      #expect(first.status == 0, "\(first.errors)")
      for arguments in [["--count", "3"], ["--width", "64"]] {
        let result = try Self.draw(["--latents", latents] + arguments, to: folder + "/b.png")
        #expect(result.status == 64, "\(arguments): \(result.errors)")
      }
    }
  }

  /// Tokenizer and scheduler files that would hang or crash a careless reader.
  @Test(arguments: [
    ("tokenizer/special_tokens_map.json", "{\"bos_token\": \"\"}", "bos_token is empty"),
    (
      "scheduler/scheduler_config.json",
      "{\"_class_name\": \"DPMSolverMultistepScheduler\", \"beta_end\": 1.0, \"use_karras_sigmas\": true}",
      "beta_end"
    ),
    ("tokenizer/vocab.json", "{\"a\": 2147483647}", "vocab"),
    ("scheduler/scheduler_config.json", "{\"_class_name\": \"FooScheduler\"}", "FooScheduler"),
  ])
  func hostileModelFiles(file: String, text: String, says: String) throws {
    try withTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: model)
      try Data(text.utf8).write(to: URL(filePath: "\(model)/\(file)"))
      let result = try Self.draw(["--model", model, "--steps", "4"], to: folder + "/a.png")
      #expect(result.status == 65, "\(result.errors)")
      #expect(result.errors.contains(says), "\(result.errors)")
    }
  }

  @Test(arguments: [
    ["--steps", "0"], ["--steps", "1001"], ["--width", "100"], ["--height", "0"],
    ["--guidance", "-1"], ["--scheduler", "magic"], ["--count", "0"], ["--seed", "-1"],
    ["--dtype", "f16"], ["--threads", "0"],
  ])
  func badValues(arguments: [String]) throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(arguments, to: folder + "/a.png")
      #expect(result.status == 64, "\(arguments): \(result.errors)")
      #expect(result.output.isEmpty)
    }
  }

  @Test func anOutputFolderMustExist() throws {
    try withTemporaryFolder { folder in
      let result = try Self.draw(["--steps", "2"], to: folder + "/no/a.png")
      #expect(result.status == 73)
    }
  }
}
