import Checkpoint
import Diffusion
import Engine
import Foundation
import ModelFormats
import OrderedJSON
import Pictures
import Synchronization
import TestSupport
import Testing

/// The whole pipeline on the bundled model, against diffusers' (Fixtures/shapes-v2/golden).
@Suite(.serialized) struct GenerationTests {
  static let model = Result {
    try DiffusionModel(ModelCheckpoint.open(Fixtures.path("shapes-v2")))
  }

  /// The request that made the golden files.
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
      codec: model.codec, scheduler: scheduler, sampleSize: model.sampleSize)
    try check(karras, .dpmppMultistep, against: "dpmpp-2m-karras")
  }

  func check(_ model: DiffusionModel, _ scheduler: SchedulerDescriptor, against name: String) throws
  {
    let golden = try TestTensors(path: Fixtures.path("shapes-v2/golden/\(name).safetensors"))
    let trace = golden["trace"]
    let count = trace.shape.dropFirst().reduce(1, *)
    var largest = 0.0
    let (steps, generation) = try model.steps(Self.request(scheduler))
    for step in steps where step.stage == .denoising {
      let start = step.evaluation * count
      let error = Difference.relative(
        step.latents.values, Array(trace.floats[start..<start + count]))
      largest = max(largest, error)
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
  /// Another size, a negative prompt, no guidance, a prompt that is too long.
  @Test(arguments: ReferenceRequest.all)
  func matchesTheReference(_ reference: ReferenceRequest) throws {
    let golden = try TestTensors(path: Fixtures.path("diffusion/pipeline.safetensors"))
    let expected = golden["\(reference.testDescription)/latents"]
    let generation = try Self.model.get().draw(reference.request)
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

  /// The same request gives the same bytes, and so does its returned noise.
  @Test func isRepeatable() throws {
    let model = try Self.model.get()
    let first = try model.draw(Self.small)
    var other = Self.small
    other.prompt = "a green star"
    let between = try model.draw(other)
    #expect(between.latents != first.latents && between.noise == first.noise)
    #expect(try model.draw(Self.small).image == first.image)

    var again = Self.small
    again.seed = 99
    again.noise = first.noise
    #expect(try model.draw(again).image == first.image)
    #expect(try model.decode(first.latents) == first.image)
  }

  @Test func reportsProgressAndTime() throws {
    var layers: Set<String> = []
    let (steps, generation) = try Self.model.get().steps(Self.small) { network, layer in
      layers.insert(network)
      #expect(layer.seconds >= 0)
    }
    #expect(
      steps.map(\.stage) == [
        .encoding, .denoising, .denoising, .denoising, .decoding, .finished,
      ])
    #expect(steps.map(\.evaluation) == [0, 0, 1, 2, 2, 2])
    #expect(steps.allSatisfy { $0.evaluationCount == 2 && $0.pass == 1 && $0.imageIndex == 0 })
    // The timesteps of DDIM's two steps; the latents of the last are the image's.
    #expect(steps.map(\.timestep) == [nil, nil, 501, 1, nil, nil])
    #expect(steps.map { $0.result == nil } == [true, true, true, true, true, false])
    #expect(steps[3].latents == generation.latents && steps[1].latents == generation.noise)
    #expect(layers == ["text_encoder", "scheduler", "unet", "vae_decoder"])
    let timings = generation.timings
    #expect(timings.unet.count == 2)
    let parts = timings.textEncoder + timings.unet.reduce(0, +) + timings.scheduler + timings.vae
    #expect(timings.load > 0 && parts > 0 && parts <= timings.total)
  }

  /// Nothing is computed before it is asked for: whoever asks for no more stops the work.
  @Test func computesWhatIsAskedFor() throws {
    let model = try Self.model.get()
    let counting = CountingNetwork(model.unet)
    let counted = DiffusionModel(
      tokenizer: model.tokenizer, textEncoder: model.textEncoder, unet: counting,
      codec: model.codec, scheduler: model.scheduler, sampleSize: model.sampleSize)
    var loop = try GenerationLoop(counted, [Self.small])
    var runs: [Int] = []
    while try loop.next() != nil { runs.append(counting.batches.withLock { $0.count }) }
    #expect(runs == [0, 0, 1, 2, 2, 2])
    #expect(try loop.next() == nil)
  }

  @Test(arguments: [(100, 64), (64, 0), (-8, 64), (64, 1 << 40)])
  func refusesSizes(width: Int, height: Int) throws {
    let model = try Self.model.get()
    var request = Self.small
    request.width = width
    request.height = height
    let error = #expect(throws: GenerationError.self) { try model.draw(request) }
    #expect(error?.code == .request)
  }

  @Test(arguments: [[1, 4, 16, 16], [2, 4, 8, 8], [1, 3, 8, 8]])
  func refusesNoiseOfAnotherShape(shape: [Int]) throws {
    let model = try Self.model.get()
    var request = Self.small
    request.noise = Latents(
      [Float](repeating: 0, count: shape.reduce(1, *)), shape: shape)
    let error = #expect(throws: GenerationError.self) { try model.draw(request) }
    #expect(error?.code == .request)
  }

  /// A network whose output is not finite must not give an image.
  struct Broken: Network {
    func run(
      _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
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
      codec: sound.codec, scheduler: sound.scheduler, sampleSize: 16)
    let error = #expect(throws: GenerationError.self) { try model.draw(Self.small) }
    #expect(error?.code == .notFinite)
    #expect(error?.message.contains("evaluation 1 of 2") == true)
  }
}

/// Valid checkpoints that cannot generate.
@Suite struct ModelLoadingTests {
  /// A copy of the bundled model with one file changed; weights are linked.
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
