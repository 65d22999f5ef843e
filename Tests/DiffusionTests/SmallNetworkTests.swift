import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// Pipelines of distilled UNets and of a latent consistency model against diffusers:
/// `Fixtures/networks/make.py` drew them with the bundled model's text encoder and VAE.
@Suite(.serialized) struct SmallNetworkTests {
  static let expected = Result {
    try TestTensors(path: Fixtures.path("networks/expected.safetensors"))
  }

  /// Calls `body` with a repository of the bundled model with another UNet, and its scheduler where
  /// it has one.
  static func withRepository<R>(_ unet: String, _ body: (String) throws -> R) throws -> R {
    try withTemporaryFolder { folder in
      let files = FileManager.default
      for part in ["text_encoder", "tokenizer", "vae", "scheduler", "model_index.json"] {
        try files.createSymbolicLink(
          atPath: "\(folder)/\(part)", withDestinationPath: Fixtures.path("shapes-v2/\(part)"))
      }
      let own = Fixtures.path("networks/\(unet)")
      try files.createSymbolicLink(atPath: "\(folder)/unet", withDestinationPath: own)
      if files.fileExists(atPath: "\(own)/scheduler_config.json") {
        try files.removeItem(atPath: "\(folder)/scheduler")
        try files.createDirectory(
          atPath: "\(folder)/scheduler", withIntermediateDirectories: false)
        try files.copyItem(
          atPath: "\(own)/scheduler_config.json",
          toPath: "\(folder)/scheduler/scheduler_config.json")
      }
      return try body(folder)
    }
  }

  static func model(_ unet: String) throws -> DiffusionModel {
    try withRepository(unet) { try DiffusionModel(ModelCheckpoint.open($0)) }
  }

  static func request(steps: Int, guidance: Float) -> GenerationRequest {
    var request = GenerationRequest(prompt: "a red circle")
    request.negativePrompt = "blue"
    request.steps = steps
    request.guidanceScale = guidance
    request.seed = 7
    return request
  }

  private func check(_ generation: Generation, _ name: String) throws {
    let reference = try Self.expected.get()["pipeline.\(name)"]
    #expect(generation.latents.shape == reference.shape)
    let error = Difference.relative(generation.latents.values, reference.floats)
    #expect(error < 1e-3, "\(error)")
  }

  @Test(arguments: ["distilled", "mixed"])
  func distilledUNets(_ name: String) throws {
    let generation = try Self.model(name).draw(Self.request(steps: 5, guidance: 5))
    #expect(generation.negativePrompt != nil)
    try check(generation, name)
  }

  /// The repository's scheduler is used, with one evaluation per step without the negative prompt;
  /// guidance of 1 is still an embedding.
  @Test(arguments: [Float(1), 7.5, 8.1])
  func latentConsistency(_ guidance: Float) throws {
    let model = try Self.model("lcm")
    #expect(model.guidanceWidth == 256)
    let request = Self.request(steps: 4, guidance: guidance)
    let generation = try model.draw(request)
    #expect(generation.scheduler == .lcm)
    #expect(generation.negativePrompt == nil)
    #expect(generation.timings.unet.count == 4)
    try check(generation, "lcm.\(guidance)")
    // The negative prompt has no effect, which is reported.
    var other = request
    other.negativePrompt = ""
    #expect(try model.draw(other).latents == generation.latents)
    #expect(model.limits.ignored(by: request).first?.contains("negative prompt") == true)
    #expect(model.limits.ignored(by: other) == [])
    other.networks.guidanceInterval = 0.2...0.8
    #expect(model.limits.ignored(by: other).first?.contains("guidance interval") == true)
  }

  /// Images that are drawn together share the embedding.
  @Test func severalPictures() throws {
    let model = try Self.model("lcm")
    var second = Self.request(steps: 2, guidance: 7.5)
    let first = second
    second.seed = 8
    let together = try model.draw([first, second])
    #expect(try model.draw(first).latents == together[0].latents)
    #expect(try model.draw(second).latents == together[1].latents)
  }

  @Test func deepFeatures() throws {
    var additions = ModelAdditions()
    additions.reusesDeepFeatures = true
    let model = try Self.withRepository("lcm") {
      try DiffusionModel(ModelCheckpoint.open($0), additions: additions)
    }
    var request = Self.request(steps: 4, guidance: 7.5)
    request.networks.cacheInterval = 2
    #expect(try model.draw(request).latents.values.allSatisfy(\.isFinite))
  }

  @Test func memoryIsOfOnePrompt() throws {
    try Self.withRepository("lcm") { path in
      let checkpoint = try ModelCheckpoint.open(path)
      let forecasts = [true, false].map {
        MemoryForecast(
          checkpoint, precision: .f32, width: 128, height: 128, isGuided: $0, encodes: false)
      }
      #expect(forecasts[0] == forecasts[1])
    }
  }

  /// UNets that need an image or a depth map are rejected with that reason.
  @Test(arguments: [(8, "InstructPix2Pix"), (5, "depth map")])
  func imageConditionedUNets(channels: Int, says: String) throws {
    try withTemporaryFolder { folder in
      let unet = "\(folder)/unet"
      try FileManager.default.createDirectory(atPath: unet, withIntermediateDirectories: true)
      for part in ["text_encoder", "tokenizer", "vae", "scheduler", "model_index.json"] {
        try FileManager.default.createSymbolicLink(
          atPath: "\(folder)/\(part)", withDestinationPath: Fixtures.path("shapes-v2/\(part)"))
      }
      var object = try #require(
        JSON(parsing: Fixtures.text("networks/distilled/config.json")).object)
      object["in_channels"] = .integer(channels)
      try JSON.object(object).text().write(
        toFile: "\(unet)/config.json", atomically: true, encoding: .utf8)
      let name = "diffusion_pytorch_model.safetensors"
      var tensors = try TensorFile.open(Fixtures.path("networks/distilled/\(name)")).tensors
      let first = try #require(tensors.firstIndex { $0.name == "conv_in.weight" })
      tensors[first] = Tensor(
        name: "conv_in.weight", dtype: .float16, shape: Shape([8, channels, 3, 3]),
        storage: .memory([UInt8](repeating: 0, count: 2 * 8 * channels * 9)))
      try Safetensors.write(tensors, to: "\(unet)/\(name)")
      let checkpoint = try ModelCheckpoint.open(folder)
      try checkpoint.require(.unet).requireComplete()
      let request = GenerationRequest(prompt: "make it red")
      let limits = try #require(throws: GenerationError.self) {
        try DrawingLimits(of: checkpoint).check(request)
      }
      #expect(limits.message.contains(says), "\(limits)")
      let loading = try #require(throws: FormatError.self) { try DiffusionModel(checkpoint) }
      #expect(loading.message.contains(says))
      #expect(loading.context == "in_channels")
    }
  }
}
