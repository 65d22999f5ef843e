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

/// What `Oracle/networks.py` writes: narrow networks with random weights, and what diffusers and
/// transformers compute with them.
enum NetworkOracle {
  /// Where the script wrote; nil if there is no Python.
  static let folder: String? = {
    guard let python = Tool.python else { return nil }
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "sdloom-networks-\(UUID().uuidString)").path
    let script = "\(Fixtures.root)/Tests/DiffusionTests/Oracle/networks.py"
    atexit { _ = NetworkOracle.folder.map { try? FileManager.default.removeItem(atPath: $0) } }
    let result = try? Tool.launch(
      python, [script, folder, Fixtures.path("shapes-v2/tokenizer")])
    // A failing script must not be taken for one that could not be run.
    return result?.status == 0 ? folder : "failed: \(result?.errors ?? "")"
  }()
}

/// Networks next to a pipeline's own three against diffusers and transformers.
@Suite(.serialized, .python("diffusers", "transformers"))
struct NetworkTests {
  static func path(_ name: String) throws -> String {
    try #require(NetworkOracle.folder) + "/\(name)"
  }

  static let expected = Result { try TestTensors(path: path("expected.safetensors")) }

  static func value(_ name: String) throws -> Value {
    let tensor = try expected.get()[name]
    return Value(tensor.floats, shape: tensor.shape)
  }

  static func checkpoint(_ name: String) throws -> ModelCheckpoint {
    try ModelCheckpoint.open(path(name))
  }

  static func executable(
    _ component: Component, _ graph: Graph, sizes: Sizes = Sizes(batch: 2, height: 16, width: 24)
  ) throws -> Executable {
    try Executable(
      graph: graph, parameters: { try component.tensor(named: $0) }, sizes: sizes)
  }

  static func error(_ value: Value?, _ name: String) throws -> Double {
    let reference = try Self.value(name)
    guard let value, value.shape == reference.shape else { return .infinity }
    return Difference.relative(value.reals, reference.reals)
  }

  static func inputs(timestep: Float = 321) throws -> [String: Value] {
    [
      "sample": try value("sample"), "encoder_hidden_states": try value("states"),
      "timestep": Value([timestep], shape: [1]),
    ]
  }

  // MARK: ControlNet

  /// Both namings give the same network, and its residuals go into the UNet.
  @Test(arguments: ["controlnet", "controlnet-original.safetensors"])
  func controlNet(_ name: String) throws {
    let checkpoint = try Self.checkpoint(name)
    #expect(Recognition(checkpoint).kind == .controlNet)
    let component = try checkpoint.require(.controlNet)
    let isOriginal = name.hasSuffix(".safetensors")
    #expect(component.configuration?.origin == (isOriginal ? .inferred : .file))
    // Shapes do not tell heads and groups, which are narrow here.
    let graph = try Self.checkpoint("controlnet").require(.controlNet).graph(.controlNet)
    let control = try Self.executable(component, graph)
    var inputs = try Self.inputs()
    inputs["controlnet_cond"] = try Self.value("control.picture")
    let residuals = try control.run(inputs)
    #expect(residuals.count == 9)
    for (name, value) in residuals {
      #expect(try Self.error(value, "control.\(name)") < 1e-5, "\(name)")
    }
    let unet = try Self.checkpoint("repository").require(.unet)
    let main = try Self.executable(unet, unet.graphWithResidualInputs())
    inputs["controlnet_cond"] = nil
    for (name, value) in residuals { inputs[ControlNet.residualInput(of: name)] = value }
    #expect(try Self.error(main.run(inputs)["out_sample"], "control.unet") < 1e-5)
  }

  /// The inferred configuration of a single file is the network's, except for what shapes do not
  /// show.
  @Test func controlNetInference() throws {
    let inferred = try ControlNetConfiguration(
      #require(
        Self.checkpoint("controlnet-original.safetensors")[.controlNet]?.configuration?.object))
    let stated = try ControlNetConfiguration(
      #require(Self.checkpoint("controlnet")[.controlNet]?.configuration?.object))
    #expect(inferred.unet.blockChannels == stated.unet.blockChannels)
    #expect(inferred.unet.layersPerBlock == stated.unet.layersPerBlock)
    #expect(inferred.unet.downAttention == stated.unet.downAttention)
    #expect(inferred.unet.crossAttentionWidth == stated.unet.crossAttentionWidth)
    #expect(inferred.pictureBlockChannels == stated.pictureBlockChannels)
  }

  static func request() -> GenerationRequest {
    var request = GenerationRequest(prompt: "a red circle")
    request.negativePrompt = "blue"
    request.steps = 5
    request.guidanceScale = 5
    request.seed = 7
    (request.width, request.height) = (192, 128)
    request.scheduler = .ddim
    return request
  }

  static func model(
    _ change: (inout ModelAdditions) throws -> Void = { _ in }
  ) throws -> DiffusionModel {
    var additions = ModelAdditions()
    additions.checksSafety = false
    try change(&additions)
    return try DiffusionModel(checkpoint("repository"), additions: additions)
  }

  private func error(_ latents: Latents, _ name: String) throws -> Double {
    try Self.error(Value(latents.values, shape: latents.shape), name)
  }

  @Test func plainPipeline() throws {
    let generation = try Self.model().draw(Self.request())
    #expect(try error(generation.latents, "pipeline") < 1e-4)
  }

  @Test func controlledPipeline() throws {
    let model = try Self.model { $0.controlNets = [try Self.path("controlnet")] }
    var request = Self.request()
    request.networks.controls = [
      NetworkSettings.Control(
        try PNG.read(Self.path("hint.png")).image, scale: 0.8, start: 0.2, end: 0.8)
    ]
    let generation = try model.draw(request)
    #expect(try error(generation.latents, "pipeline.control") < 1e-4)
    // A ControlNet that is never active changes nothing.
    request.networks.controls[0].end = 0.25
    request.networks.controls[0].start = 0.2
    #expect(try error(model.draw(request).latents, "pipeline") < 1e-4)
    request.networks.controls = []
    #expect(throws: GenerationError.self) { try model.draw(request) }
  }

  /// Two ControlNets of half strength equal one.
  @Test func severalControls() throws {
    let hint = try PNG.read(Self.path("hint.png")).image
    let control = NetworkSettings.Control(hint, scale: 0.4, start: 0.2, end: 0.8)
    let path = try Self.path("controlnet")
    let model = try Self.model { $0.controlNets = [path, path] }
    var request = Self.request()
    request.networks.controls = [control, control]
    #expect(try error(model.draw(request).latents, "pipeline.control") < 1e-4)
  }

  @Test func refusesOtherNetworks() throws {
    let error = try #require(throws: FormatError.self) {
      try Self.model { $0.controlNets = [try Self.path("tiny")] }
    }
    #expect(error.message.contains("not a ControlNet"))
    let mismatch = try #require(throws: FormatError.self) {
      try DiffusionModel(
        ModelCheckpoint.open(Fixtures.path("shapes-v2")),
        additions: Self.additions { $0.controlNets = [try Self.path("controlnet")] })
    }
    #expect(mismatch.code == .mismatch)
  }

  private static func additions(
    _ change: (inout ModelAdditions) throws -> Void
  ) rethrows -> ModelAdditions {
    var additions = ModelAdditions()
    try change(&additions)
    return additions
  }

  // MARK: LoRA

  @Test func lora() throws {
    let path = try Self.path("lora.safetensors")
    let model = try Self.model { $0.adapters = [ModelAdditions.Adapter(path, scale: 0.7)] }
    #expect(try error(model.draw(Self.request()).latents, "pipeline.lora") < 1e-4)
    let output = try model.unet.run(Self.inputs(), inputVersions: [:], observer: nil)
    #expect(try Self.error(output["out_sample"], "lora.unet") < 1e-5)
    // Nothing is ignored silently.
    #expect(model.additions.warnings.count == 1)
    #expect(model.additions.warnings.first?.contains("lora_unet_down_blocks_9") == true)
  }

  /// Two of half strength equal one.
  @Test func severalLoRAs() throws {
    let half = ModelAdditions.Adapter(try Self.path("lora.safetensors"), scale: 0.35)
    let model = try Self.model { $0.adapters = [half, half] }
    #expect(try error(model.draw(Self.request()).latents, "pipeline.lora") < 1e-4)
  }

  // MARK: Tiny autoencoder

  /// The largest difference of two images' levels.
  private static func largest(_ image: Image, _ reference: Image) -> Int {
    zip(image.pixels, reference.pixels).reduce(image.width == reference.width ? 0 : 255) {
      max($0, abs(Int($1.0) - Int($1.1)))
    }
  }

  @Test(arguments: ["tiny", "taesd_decoder.pth"])
  func tinyDecoder(_ name: String) throws {
    let checkpoint = try Self.checkpoint(name)
    let component = try checkpoint.require(.tinyAutoencoder)
    let decoder = try Self.executable(
      component, component.graph(.tinyDecoder), sizes: Sizes(batch: 1, height: 9, width: 12))
    let picture = try #require(
      decoder.run(["latent_sample": Self.value("tiny.latents")])["sample"])
    let signed = Value(picture.reals.map { 2 * $0 - 1 }, shape: picture.shape)
    #expect(try Self.error(signed, "tiny.decoded") < 1e-5)
  }

  @Test(arguments: ["tiny", "taesd_encoder.pth"])
  func tinyEncoder(_ name: String) throws {
    let component = try Self.checkpoint(name).require(.tinyAutoencoder)
    let encoder = try Self.executable(
      component, component.graph(.tinyEncoder), sizes: Sizes(batch: 1, height: 9, width: 12))
    let picture = try Self.value("tiny.picture")
    let unit = Value(picture.reals.map { ($0 + 1) / 2 }, shape: picture.shape)
    #expect(try Self.error(encoder.run(["sample": unit])["latents"], "tiny.encoded") < 1e-5)
  }

  @Test func tinyHalvesHoldNoOther() throws {
    let half = try #require(Self.checkpoint("taesd_decoder.pth")[.tinyAutoencoder])
    #expect(half.graphs.map(\.name) == [.tinyDecoder])
    #expect(half.manifest?.isComplete == true)
    #expect(half.manifest?.unexpected.isEmpty == true)
  }

  @Test func tinyDecodesPictures() throws {
    let path = try Self.path("taesd_decoder.pth")
    let all = try Self.model { $0.tinyAutoencoder = path }
    let tensor = try Self.expected.get()["tiny.latents"]
    let latents = Latents(tensor.floats, shape: tensor.shape)
    let reference = Image(
      decoded: try Self.value("tiny.decoded").reals, width: 96, height: 72)
    #expect(try Self.largest(all.decode(latents), reference) <= 1)
    let previews = try Self.model {
      $0.tinyAutoencoder = path
      $0.tinyAutoencoderDecodesAll = false
    }
    #expect(try Self.largest(previews.decodePreview(latents), reference) <= 1)
    #expect(try previews.decode(latents) == Self.model().decode(latents))
  }

  // MARK: Stable Diffusion 2

  @Test func stableDiffusion2() throws {
    let text = try Self.checkpoint("sd2/text_encoder").require(.textEncoder)
    let encoder = try Self.executable(text, text.graph(.textEncoder))
    let ids = try Self.expected.get()["sd2.ids"].integers.map { Int32($0) }
    let states = try #require(
      encoder.run(["input_ids": Value(ids: ids, shape: [2, 77])])["last_hidden_state"])
    #expect(try Self.error(states, "sd2.states") < 1e-5)
    let component = try Self.checkpoint("sd2/unet").require(.unet)
    let unet = try Self.executable(component, component.graph(.unet))
    var inputs = try Self.inputs(timestep: 500)
    inputs["encoder_hidden_states"] = states
    #expect(try Self.error(unet.run(inputs)["out_sample"], "sd2.unet") < 1e-5)
  }

  // MARK: Safety checker

  private static func checker(_ name: String) throws -> PictureChecker {
    let component = try checkpoint(name).require(.safetyChecker)
    return try PictureChecker(component, PictureChecker.Preparation()) { graph in
      try executable(component, graph, sizes: Sizes(batch: 1))
    }
  }

  /// Thresholds just above and below the checker's score, and one that an image with special care
  /// passes.
  @Test(arguments: ["none", "one", "care"])
  func verdicts(_ name: String) throws {
    let json = try JSON(
      parsing: String(contentsOfFile: Self.path("expected.json"), encoding: .utf8))
    let flagged = json["safety"]?[name]?["flagged"]?.bool ?? false
    #expect(flagged == (name != "none"))
    let image = try PNG.read(Self.path("shown.png")).image
    let verdict = try Self.checker("safety-\(name)").check(image)
    #expect(verdict.isFlagged == flagged)
    #expect(verdict.conceptScores.count == 17)
    #expect(verdict.specialCareScores.count == 3)
  }

  @Test func safetyView() throws {
    let image = try PNG.read(Self.path("shown.png")).image
    let prepared = PictureChecker.Preparation().value(of: image, side: 224)
    // Pillow's bicubic, bit for bit except for the normalization's final rounding.
    let reference = try Self.value("safety.clip_input")
    #expect(prepared.shape == reference.shape)
    #expect(Difference.largest(prepared.reals, reference.reals) < 1e-5)
    let component = try Self.checkpoint("safety-none").require(.safetyChecker)
    let network = try Self.executable(
      component, component.graph(.safetyChecker), sizes: Sizes(batch: 1))
    let view = try network.run(["clip_input": reference])["image_embeds"]
    #expect(try Self.error(view, "safety.image_embeds") < 1e-5)
  }

  /// A pipeline with a checker uses it by default.
  @Test func safetyInPipeline() throws {
    let checked = try Self.model { $0.checksSafety = true }.draw(Self.request())
    // Its thresholds are of 0.9, which no random view reaches.
    #expect(checked.safety?.isFlagged == false)
    let unchecked = try Self.model().draw(Self.request())
    #expect(unchecked.safety == nil)
    #expect(unchecked.image == checked.image)
    var model = try Self.model()
    // Thresholds at the minimum.
    model.additions.safetyChecker = try Self.checker("safety-all")
    let black = try model.draw(Self.request())
    #expect(black.safety?.concepts == Array(0..<17))
    #expect(black.image.pixels.allSatisfy { $0 == 0 })
    // The second pass does not start from the black image, and the verdict is kept.
    var request = Self.request()
    request.hiresPass = HiresPass(scale: 2)
    let (steps, held) = try model.steps(request)
    #expect(steps.allSatisfy { $0.pass == 1 })
    #expect(steps.map(\.stage).suffix(2) == [.decoding, .finished])
    #expect(held.safety == black.safety && held.image == black.image)
  }

  /// Additional networks count too.
  @Test func additionsTakeMemory() throws {
    var additions = ModelAdditions()
    additions.checksSafety = false
    func names() throws -> [String] {
      try MemoryForecast(
        Self.checkpoint("repository"), precision: .f32, width: 128, height: 128, isGuided: true,
        encodes: false, additions: additions
      ).parts.map(\.name)
    }
    let own = try names()
    additions.checksSafety = true
    additions.controlNets = [try Self.path("controlnet"), try Self.path("controlnet")]
    additions.tinyAutoencoder = try Self.path("taesd_decoder.pth")
    #expect(
      try names() == own + ["controlnet", "controlnet", "tiny_decoder", "safety_checker"])
  }
}
