import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// What `Oracle/pipelines.py` writes: narrow repositories with random weights, and what diffusers'
/// pipelines draw with them.
enum PipelineOracle {
  static let script = "\(Fixtures.root)/Tests/DiffusionTests/Oracle/pipelines.py"

  /// Where the script wrote; nil if there is no Python.
  static let folder: String? = {
    guard let python = Tool.python else { return nil }
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "sdloom-pipelines-\(UUID().uuidString)").path
    atexit { _ = PipelineOracle.folder.map { try? FileManager.default.removeItem(atPath: $0) } }
    let result = try? Tool.launch(
      python, [script, folder, Fixtures.path("shapes-v2/tokenizer")])
    // A failing script must not be taken for one that could not be run.
    return result?.status == 0 ? folder : "failed: \(result?.errors ?? "")"
  }()

  static func path(_ name: String) throws -> String { try #require(folder) + "/\(name)" }

  static let latents = Result { try TestTensors(path: path("latents.safetensors")) }

  /// An image that diffusers drew.
  struct Drawn: Sendable, CustomTestStringConvertible {
    let json: JSON
    var testDescription: String { json["name"]?.string ?? "" }
    var repository: String { json["repository"]?.string ?? "" }

    func request() throws -> GenerationRequest {
      var request = GenerationRequest(prompt: json["prompt"]?.string ?? "")
      request.negativePrompt = json["negative"]?.string ?? ""
      request.seed = UInt64(json["seed"]?.int ?? 0)
      request.steps = json["steps"]?.int ?? 0
      request.guidanceScale = Float(json["guidance"]?.double ?? 0)
      request.scheduler = SchedulerDescriptor(name: json["scheduler"]?.string ?? "")
      if let strength = json["strength"]?.double {
        request.initial = InitialPicture(
          try PNG.read(path("init.png")).image, strength: strength,
          mask: Mask(try PNG.read(path("mask.png")).image))
      } else {
        (request.width, request.height) = (json["width"]?.int, json["height"]?.int)
      }
      return request
    }

    /// Compares a result with diffusers' latents and image.
    func check(_ generation: Generation) throws {
      let expected = try latents.get()[testDescription]
      #expect(generation.latents.shape == expected.shape)
      let error = Difference.relative(generation.latents.values, expected.floats)
      #expect(error < 1e-3, "\(error)")
      let picture = try PNG.read(path("\(testDescription).png")).image
      let ratio = peakSignalToNoise(generation.image, picture)
      #expect(ratio > 45, "\(ratio) dB")
    }
  }

  static let drawn: [Drawn] = {
    let text = try? String(contentsOfFile: path("cases.json"), encoding: .utf8)
    return (text.flatMap { try? JSON(parsing: $0) }?.array ?? []).map { Drawn(json: $0) }
  }()
}

/// Inpainting models and Stable Diffusion 2, from a prompt to the image, against diffusers.
@Suite(.serialized, .python("diffusers", "transformers"))
struct PipelineTests {
  private static func checkpoint(_ name: String) throws -> ModelCheckpoint {
    try ModelCheckpoint.open(PipelineOracle.path(name))
  }

  private static let models = [
    "inpainting": Result { try DiffusionModel(checkpoint("inpainting")) },
    "sd2": Result { try DiffusionModel(checkpoint("sd2")) },
  ]

  @Test func allAreDrawn() throws {
    let folder = try #require(PipelineOracle.folder)
    #expect(PipelineOracle.drawn.count == 15, "\(folder)")
    for repository in Self.models.keys {
      #expect(
        Set(PipelineOracle.drawn.filter { $0.repository == repository }.map(\.testDescription))
          .isSuperset(
            of: ["ddim", "pndm", "euler", "dpmpp-2m"].map {
              "\(repository)-\($0)-\(repository == "sd2" ? "0" : "0.6")"
            }))
    }
  }

  @Test(arguments: PipelineOracle.drawn)
  func matchesTheReference(_ drawn: PipelineOracle.Drawn) throws {
    let model = try #require(Self.models[drawn.repository]).get()
    try drawn.check(model.draw(drawn.request()))
  }

  // MARK: Single files of Stable Diffusion 2

  /// As `sdgen` opens them: tokenizer and scheduler are made.
  private static func single(_ path: String) throws -> DiffusionModel {
    let companions = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).files
    return try DiffusionModel(ModelCheckpoint.open(path).completed(with: companions))
  }

  /// The original single file gives the repository's image, told what tensors do not show.
  @Test(arguments: ["sd2.safetensors", "sd2.ckpt"])
  func originalFile(_ name: String) throws {
    let model = try Self.single(PipelineOracle.path(name))
    let drawn = try #require(
      PipelineOracle.drawn.first { $0.testDescription == "sd2-dpmpp-2m-0" })
    var request = try drawn.request()
    request.sampling.prediction = .velocity
    // The repository's scheduler says so; that of a single file is Stable Diffusion 1's.
    request.sampling.spacing = .leading
    try drawn.check(model.draw(request))
  }

  /// A conversion to a repository gives the tensors of the published one, and one back gives a file
  /// that diffusers reads as the same.
  @Test(arguments: ["safetensors", "ckpt"])
  func conversions(_ ending: String) throws {
    let python = try #require(Tool.python)
    let repository = try PipelineOracle.path("sd2")
    try withTemporaryFolder { folder in
      try Conversion(
        of: Self.checkpoint("sd2.\(ending)"), to: .diffusers, at: "\(folder)/repository"
      ).execute()
      let made = try ModelCheckpoint.open("\(folder)/repository")
      let difference = try CheckpointDifference(
        ModelCheckpoint.open(repository).components, made.components)
      #expect(difference.isSame)
      #expect(difference.parts.count == 3)
      try Conversion(
        of: Self.checkpoint("sd2"), to: .ldm, at: "\(folder)/single.\(ending)"
      ).execute()
      let read = try Tool.launch(
        python, [PipelineOracle.script, "--read", "\(folder)/single.\(ending)", repository])
      #expect(read.status == 0 && read.output.contains("the same"), "\(read.errors)")
      // And with us it is as it was.
      let again = try CheckpointDifference(
        ModelCheckpoint.open(repository).components,
        ModelCheckpoint.open("\(folder)/single.\(ending)").components)
      #expect(
        again.parts.allSatisfy { part in
          part.pairs.allSatisfy { $0.isSame || $0.isSameInOtherShape } && part.removed.isEmpty
        })
    }
  }
}
