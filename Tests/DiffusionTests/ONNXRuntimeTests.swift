import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// The pipeline on ONNX Runtime's CPU provider, against our own engine in F32.
@Suite(.serialized, .onnxRuntime)
struct ONNXRuntimeTests {
  private static let cache = FileManager.default.temporaryDirectory
    .appending(path: "sdloom-cache-\(UUID().uuidString)").path

  private static func engine(half: Bool = false) -> NetworkEngine {
    var settings = ONNXRuntimeSettings()
    settings.library = Fixtures.onnxRuntime
    settings.cacheDirectory = cache
    settings.usesHalfPrecision = half
    return .onnxRuntime(settings)
  }

  /// Draws the requests together with both engines; the images are at least 80 dB alike.
  private static func compare(
    _ path: String, _ requests: [GenerationRequest],
    _ change: (inout ModelAdditions) throws -> Void = { _ in }
  ) throws {
    var additions = ModelAdditions()
    additions.checksSafety = false
    try change(&additions)
    let checkpoint = try ModelCheckpoint.open(path)
    let own = try DiffusionModel(checkpoint, additions: additions).draw(requests)
    let other = try DiffusionModel(checkpoint, engine: engine(), additions: additions)
      .draw(requests)
    for (own, other) in zip(own, other) {
      #expect(Difference.relative(other.latents.values, own.latents.values) < 1e-4)
      #expect(peakSignalToNoise(other.image, own.image) > 80)
      #expect(own.safety == other.safety)
    }
  }

  init() throws {
    atexit { try? FileManager.default.removeItem(atPath: ONNXRuntimeTests.cache) }
  }

  private static func request(_ seed: UInt64 = 42) -> GenerationRequest {
    var request = GenerationTests.request(.pndm)
    request.seed = seed
    return request
  }

  @Test func textToImage() throws {
    try Self.compare(Fixtures.path("shapes-v2"), [Self.request()])
  }

  @Test func severalImages() throws {
    try Self.compare(
      Fixtures.path("shapes-v2"), [Self.request(1), Self.request(2), Self.request(3)])
  }

  @Test func otherSizes() throws {
    var request = Self.request()
    (request.width, request.height, request.steps) = (192, 64, 6)
    try Self.compare(Fixtures.path("shapes-v2"), [request])
  }

  /// A longer prompt, one that changes, an earlier layer of the text encoder.
  @Test func prompts() throws {
    var request = Self.request()
    request.prompt = Array(repeating: "a red circle", count: 40).joined(separator: ", ")
    request.steps = 6
    request.promptStyle.clipSkip = 2
    try Self.compare(Fixtures.path("shapes-v2"), [request])
    request.prompt = "a [red:blue:3] circle"
    try Self.compare(Fixtures.path("shapes-v2"), [request])
  }

  @Test(arguments: InitialPictureTests.Reference.all.filter { $0.json["steps"]?.int ?? 99 <= 12 })
  func imageToImageAndInpainting(_ reference: InitialPictureTests.Reference) throws {
    try Self.compare(Fixtures.path("shapes-v2"), [reference.request()])
  }

  @Test func cachedFeatures() throws {
    var request = Self.request()
    request.networks.cacheInterval = 3
    try Self.compare(Fixtures.path("shapes-v2"), [request]) { $0.reusesDeepFeatures = true }
  }

  /// With random weights, an image has detail everywhere.
  @Suite(.serialized, .onnxRuntime, .python("diffusers", "transformers"))
  struct Additional {
    /// An inpainting model and Stable Diffusion 2, one image each.
    @Test(arguments: ["inpainting", "sd2"]) func otherModels(_ repository: String) throws {
      let drawn = try #require(PipelineOracle.drawn.first { $0.repository == repository })
      try compare(PipelineOracle.path(repository), [drawn.request()])
    }

    @Test func lora() throws {
      let path = try NetworkTests.path("lora.safetensors")
      try compare(NetworkTests.path("repository"), [NetworkTests.request()]) {
        $0.adapters = [ModelAdditions.Adapter(path, scale: 0.7)]
      }
    }

    @Test func controlNet() throws {
      var request = NetworkTests.request()
      request.networks.controls = [
        NetworkSettings.Control(
          try PNG.read(NetworkTests.path("hint.png")).image, scale: 0.8, start: 0.2, end: 0.8)
      ]
      let path = try NetworkTests.path("controlnet")
      try compare(NetworkTests.path("repository"), [request]) { $0.controlNets = [path] }
    }

    @Test func tinyAutoencoderAndSafetyChecker() throws {
      let path = try NetworkTests.path("taesd_decoder.pth")
      try compare(NetworkTests.path("repository"), [NetworkTests.request()]) {
        $0.tinyAutoencoder = path
        $0.checksSafety = true
      }
    }
  }

  /// In F16 the images are similar; the VAE stays F32.
  @Test func halfPrecision() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    let own = try GenerationTests.model.get().draw(Self.request())
    let half = try DiffusionModel(checkpoint, engine: Self.engine(half: true)).draw(Self.request())
    #expect(peakSignalToNoise(half.image, own.image) > 35)
  }

  /// The layers of the observer, and the second start from the cache.
  @Test func observedAndCached() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    var request = Self.request()
    request.steps = 2
    var networks: Set<String> = []
    for _ in 0..<2 {
      let model = try DiffusionModel(checkpoint, engine: Self.engine())
      var loop = try GenerationLoop(
        model, [request], observer: { name, _ in networks.insert(name) })
      while try loop.next() != nil {}
      let names = try FileManager.default.contentsOfDirectory(atPath: Self.cache)
      #expect(names.filter { $0.hasPrefix("unet-") }.count >= 1)
    }
    #expect(networks.isSuperset(of: ["text_encoder", "unet", "vae_decoder", "scheduler"]))
  }

  @Test func missing() throws {
    var settings = ONNXRuntimeSettings()
    settings.library = "/nowhere"
    settings.cacheDirectory = Self.cache + "/none"
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    let error = #expect(throws: EngineError.self) {
      try DiffusionModel(checkpoint, engine: .onnxRuntime(settings))
    }
    #expect(error?.code == .missing)
    #expect(!FileManager.default.fileExists(atPath: Self.cache + "/none"))
  }
}
