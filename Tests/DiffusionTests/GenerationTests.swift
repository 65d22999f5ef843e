import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import TestSupport
import Testing

/// The whole pipeline on the embedded model, against diffusers' (Fixtures/shapes-v2/golden).
@Suite(.serialized) struct GenerationTests {
  static let model = Result {
    try DiffusionModel(ModelCheckpoint.open(Fixtures.path("shapes-v2")))
  }

  /// The request with which the goldens were made.
  static func request(_ scheduler: SchedulerDescriptor) -> GenerationRequest {
    var request = GenerationRequest(prompt: "a red circle on a blue background")
    request.steps = 20
    request.guidanceScale = 3
    request.seed = 42
    request.scheduler = scheduler
    return request
  }

  /// The others are compared in SamplingTests.
  @Test(arguments: [
    SchedulerDescriptor.pndm, .ddim, .lms, .ddpm, .euler, .eulerAncestral, .heun, .dpmppMultistep,
    .unipc,
    .lcm,
  ])
  func matchesTheReference(_ scheduler: SchedulerDescriptor) throws {
    try check(Self.model.get(), scheduler, against: scheduler.name)
  }

  @Test func matchesTheReferenceWithKarrasSigmas() throws {
    let model = try Self.model.get()
    var scheduler = model.scheduler
    scheduler.usesKarrasSigmas = true
    let karras = DiffusionModel(
      tokenizer: model.tokenizer, textEncoder: model.textEncoder, unet: model.unet,
      vaeDecoder: model.vaeDecoder, scheduler: scheduler, sampleSize: model.sampleSize,
      scalingFactor: model.scalingFactor)
    try check(karras, .dpmppMultistep, against: "dpmpp-2m-karras")
  }

  func check(_ model: DiffusionModel, _ scheduler: SchedulerDescriptor, against name: String) throws
  {
    let golden = try TestTensors(path: Fixtures.path("shapes-v2/golden/\(name).safetensors"))
    let trace = golden["trace"]
    let count = trace.shape.dropFirst().reduce(1, *)
    var largest = 0.0
    let generation = try model.generate(Self.request(scheduler)) { progress in
      guard progress.stage == .denoising else { return true }
      let start = progress.evaluations * count
      let error = Difference.relative(
        progress.latents.values, Array(trace.floats[start..<start + count]))
      largest = max(largest, error)
      return true
    }
    #expect(generation.timings.unet.count == trace.shape[0] - 1)
    #expect(largest < 1e-3)
    let png = try PNG.read(Fixtures.path("shapes-v2/golden/\(name).png")).image
    #expect(peakSignalToNoise(generation.image, png) > 50)
  }
}

/// A request of Fixtures/diffusion/pipeline.json, which pipeline.py there draws with diffusers.
struct ReferenceRequest: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let request: GenerationRequest

  static let all: [ReferenceRequest] = {
    guard
      let text = try? String(
        contentsOfFile: Fixtures.path("diffusion/pipeline.json"), encoding: .utf8),
      let rows = try? JSON(parsing: text).array
    else { return [] }
    return rows.map { row in
      var request = GenerationRequest(prompt: row["prompt"]?.string ?? "")
      request.negativePrompt = row["negative"]?.string ?? ""
      request.seed = UInt64(row["seed"]?.int ?? 0)
      request.steps = row["steps"]?.int ?? 0
      request.guidanceScale = Float(row["guidance"]?.double ?? 0)
      request.scheduler = SchedulerDescriptor(name: row["scheduler"]?.string ?? "")
      request.width = row["width"]?.int
      request.height = row["height"]?.int
      // diffusers reads one chunk.
      request.promptStyle.isPlain = true
      return ReferenceRequest(testDescription: row["name"]?.string ?? "", request: request)
    }
  }()
}

extension GenerationTests {
  /// Another size, a negative prompt, no guidance, a prompt that does not fit.
  @Test(arguments: ReferenceRequest.all)
  func matchesTheReference(_ reference: ReferenceRequest) throws {
    let golden = try TestTensors(path: Fixtures.path("diffusion/pipeline.safetensors"))
    let expected = golden["\(reference.testDescription)/latents"]
    let generation = try Self.model.get().generate(reference.request)
    #expect(generation.latents.shape == expected.shape)
    #expect(Difference.relative(generation.latents.values, expected.floats) < 1e-4)
    let picture = golden["\(reference.testDescription)/image"]
    let image = Image(
      decoded: picture.floats, width: picture.shape[3], height: picture.shape[2])
    #expect(peakSignalToNoise(generation.image, image) > 60)
    #expect((generation.negativePrompt == nil) == (reference.request.guidanceScale <= 1))
    #expect((generation.prompt.droppedTokenCount > 0) == (reference.testDescription == "truncated"))
  }

  @Test func referenceRequestsAreThere() {
    #expect(ReferenceRequest.all.count == 3)
  }

  static var small: GenerationRequest {
    var request = request(.ddim)
    request.steps = 2
    request.width = 64
    request.height = 64
    return request
  }

  /// The same request gives the same bytes, and its noise given back gives them too.
  @Test func isRepeatable() throws {
    let model = try Self.model.get()
    let first = try model.generate(Self.small)
    var other = Self.small
    other.prompt = "a green star"
    let between = try model.generate(other)
    #expect(between.latents != first.latents && between.noise == first.noise)
    #expect(try model.generate(Self.small).image == first.image)

    var again = Self.small
    again.seed = 99
    again.noise = first.noise
    #expect(try model.generate(again).image == first.image)
    #expect(try model.decode(first.latents) == first.image)
  }

  @Test func reportsProgressAndTime() throws {
    var seen: [(GenerationProgress.Stage, Int)] = []
    var layers: Set<String> = []
    let generation = try Self.model.get().generate(Self.small) { progress in
      seen.append((progress.stage, progress.evaluations))
      #expect(progress.total == 2)
      return true
    } observer: { network, step in
      layers.insert(network)
      #expect(step.seconds >= 0)
    }
    #expect(
      seen.map(\.0) == [.encoding, .denoising, .denoising, .denoising, .decoding])
    #expect(seen.map(\.1) == [0, 0, 1, 2, 2])
    #expect(layers == ["text_encoder", "unet", "vae_decoder"])
    let timings = generation.timings
    #expect(timings.unet.count == 2)
    let parts = timings.textEncoder + timings.unet.reduce(0, +) + timings.scheduler + timings.vae
    #expect(timings.load > 0 && parts > 0 && parts <= timings.total)
  }

  @Test(arguments: [(GenerationProgress.Stage.encoding, 0), (.denoising, 1), (.decoding, 2)])
  func stopsWhenAsked(_ stage: GenerationProgress.Stage, evaluations: Int) throws {
    let model = try Self.model.get()
    let error = #expect(throws: GenerationError.self) {
      try model.generate(Self.small) { $0.stage != stage || $0.evaluations != evaluations }
    }
    #expect(error?.code == .cancelled)
  }

  @Test(arguments: [(100, 64), (64, 0), (-8, 64), (64, 1 << 40)])
  func refusesSizes(width: Int, height: Int) throws {
    let model = try Self.model.get()
    var request = Self.small
    request.width = width
    request.height = height
    let error = #expect(throws: GenerationError.self) { try model.generate(request) }
    #expect(error?.code == .request)
  }

  @Test(arguments: [[1, 4, 16, 16], [2, 4, 8, 8], [1, 3, 8, 8]])
  func refusesNoiseOfAnotherShape(shape: [Int]) throws {
    let model = try Self.model.get()
    var request = Self.small
    request.noise = Latents(
      [Float](repeating: 0, count: shape.reduce(1, *)), shape: shape)
    let error = #expect(throws: GenerationError.self) { try model.generate(request) }
    #expect(error?.code == .request)
  }

  /// A network whose output is not finite must not give a picture.
  struct Broken: Network {
    func run(
      _ inputs: [String: Value], generations: [String: Int], observer: ((StepTiming) -> Void)?
    ) throws -> [String: Value] {
      guard let sample = inputs["sample"] else { return [:] }
      return [
        "out_sample": Value(
          [Float](repeating: .nan, count: sample.reals.count), shape: sample.shape)
      ]
    }
  }

  @Test func saysWhereNumbersBreak() throws {
    let sound = try Self.model.get()
    let model = DiffusionModel(
      tokenizer: sound.tokenizer, textEncoder: sound.textEncoder, unet: Broken(),
      vaeDecoder: sound.vaeDecoder, scheduler: sound.scheduler, sampleSize: 16, scalingFactor: 1)
    let error = #expect(throws: GenerationError.self) { try model.generate(Self.small) }
    #expect(error?.code == .notFinite)
    #expect(error?.message.contains("evaluation 1 of 2") == true)
  }
}

/// Checkpoints that are sound as such but cannot draw.
@Suite struct ModelLoadingTests {
  /// A copy of the embedded model with one file changed; weights are linked.
  static func withCopy(
    changing file: String, _ change: (String) -> String?, _ body: (String) throws -> Void
  ) throws {
    let manager = FileManager.default
    let copy = manager.temporaryDirectory.path + "/model-\(UUID().uuidString)"
    defer { try? manager.removeItem(atPath: copy) }
    for directory in ["", "scheduler", "text_encoder", "tokenizer", "unet", "vae"] {
      let source = Fixtures.path("shapes-v2/\(directory)")
      try manager.createDirectory(
        atPath: "\(copy)/\(directory)", withIntermediateDirectories: true)
      for name in try manager.contentsOfDirectory(atPath: source) where name.contains(".") {
        try manager.createSymbolicLink(
          atPath: "\(copy)/\(directory)/\(name)", withDestinationPath: "\(source)/\(name)")
      }
    }
    let text = try String(contentsOfFile: "\(copy)/\(file)", encoding: .utf8)
    try manager.removeItem(atPath: "\(copy)/\(file)")
    if let changed = change(text) {
      try changed.write(toFile: "\(copy)/\(file)", atomically: true, encoding: .utf8)
    }
    try body(copy)
  }

  @Test(
    arguments: [
      ("tokenizer/vocab.json", "{\"a\": 0}", FormatError.Code.malformed),
      ("tokenizer/vocab.json", nil, .mismatch), ("tokenizer/merges.txt", nil, .mismatch),
      ("tokenizer/merges.txt", "not a merge at all\n", .malformed),
      ("scheduler/scheduler_config.json", nil, .mismatch),
      ("scheduler/scheduler_config.json", "{\"thresholding\": true}", .unsupported),
      ("scheduler/scheduler_config.json", "{", .malformed),
    ] as [(String, String?, FormatError.Code)])
  func refused(file: String, contents: String?, code: FormatError.Code) throws {
    try Self.withCopy(changing: file) { _ in
      contents
    } _: { path in
      let error = #expect(throws: FormatError.self) {
        try DiffusionModel(ModelCheckpoint.open(path))
      }
      #expect(error?.code == code)
      #expect(error?.file != nil)
    }
  }
}
