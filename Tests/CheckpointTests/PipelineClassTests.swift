import Checkpoint
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// The `model_index.json` and scheduler written for a source without them.
@Suite struct PipelineClassTests {
  private static func plan(
    _ scratch: Scratch, channels: Int = 4, _ others: [Tensor] = [],
    metadata: [(key: String, value: String)] = []
  ) throws -> Conversion {
    let single = try SingleFile(in: scratch)
    let input = SingleFile.unet + "input_blocks.0.0.weight"
    try single.write("file", in: scratch, metadata: metadata, adding: others) { tensor in
      guard tensor.name == input else { return tensor }
      return .zeros(
        input, tensor.dtype, [tensor.shape[0], channels, tensor.shape[2], tensor.shape[3]])
    }
    return try Conversion(
      of: ModelCheckpoint.open(scratch.path("file")), to: .diffusers, at: scratch.path("out"))
  }

  private static func object(_ plan: Conversion, _ path: String) throws -> JSONObject? {
    try plan.files.first { $0.path == path }?.jsonObject()
  }

  /// diffusers' classes by their UNet's input channels.
  @Test(arguments: [
    (4, "StableDiffusionPipeline"), (9, "StableDiffusionInpaintPipeline"),
    (8, "StableDiffusionInstructPix2PixPipeline"), (5, "StableDiffusionDepth2ImgPipeline"),
    (6, nil),
  ])
  func theClassIsThatOfTheUNet(channels: Int, name: String?) throws {
    let scratch = try Scratch()
    let plan = try Self.plan(scratch, channels: channels)
    let index = try Self.object(plan, "model_index.json")
    #expect(index?["_class_name"]?.string == name)
    guard let name else {
      #expect(plan.warnings.contains { $0.contains("no pipeline is known whose UNet takes 6") })
      return
    }
    #expect(plan.notes.contains { $0.contains(name) } == (channels != 4))
    if channels == 5 {
      #expect(index?["depth_estimator"] == [.null, .null])
      #expect(plan.notes.contains { $0.contains("needs a depth_estimator") })
    }
  }

  /// v-prediction markers, as web UIs read them.
  @Test(
    arguments: [
      ([String](), "epsilon", "PNDMScheduler", nil),
      (["v_pred"], "v_prediction", "DDIMScheduler", nil),
      (["v_pred", "ztsnr"], "v_prediction", "DDIMScheduler", true),
    ] as [([String], String, String, JSON?)])
  func theSchedulerIsThatOfTheMarks(
    marks: [String], type: String, name: String, rescales: JSON?
  ) throws {
    let scratch = try Scratch()
    let plan = try Self.plan(scratch, marks.map { .zeros($0, .float32, []) })
    let scheduler = try #require(try Self.object(plan, "scheduler/scheduler_config.json"))
    #expect(scheduler["prediction_type"]?.string == type)
    #expect(scheduler["_class_name"]?.string == name)
    #expect(scheduler["rescale_betas_zero_snr"] == rescales)
    let index = try #require(try Self.object(plan, "model_index.json"))
    #expect(index["scheduler"] == ["diffusers", .string(name)])
    // Repositories cannot store the markers: the scheduler's configuration says it; the markers are
    // named.
    #expect(plan.drops.map(\.name).sorted() == marks.sorted())
  }

  @Test func metadataMayTellThePrediction() throws {
    let scratch = try Scratch()
    let plan = try Self.plan(scratch, metadata: [(key: "modelspec.prediction_type", value: "v")])
    let scheduler = try #require(try Self.object(plan, "scheduler/scheduler_config.json"))
    #expect(scheduler["prediction_type"] == "v_prediction")
  }

  /// A noise schedule of another kind is not replaced by Stable Diffusion's.
  @Test func noSchedulerIsMadeUp() throws {
    let scratch = try Scratch()
    let plan = try Self.plan(scratch, [.floats("edm_vpred.sigma_max", [120])])
    #expect(try Self.object(plan, "scheduler/scheduler_config.json") == nil)
    #expect(try Self.object(plan, "model_index.json") == nil)
    #expect(plan.warnings.count { $0.contains("edm_vpred.sigma_max marks a noise schedule") } == 2)
  }

  /// A model with an unknown network gets neither index nor scheduler.
  @Test func nothingIsClaimedOfUnknownNetworks() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    try single.write(
      "file", in: scratch,
      adding: [.floats(SingleFile.unet + "label_emb.0.0.weight", [0], shape: [1, 1])])
    let plan = try Conversion(
      of: ModelCheckpoint.open(scratch.path("file")), to: .sdflat, at: scratch.path("out"))
    #expect(try Self.object(plan, "model_index.json") == nil)
    #expect(try Self.object(plan, "scheduler/scheduler_config.json") == nil)
    #expect(plan.warnings.contains { $0.contains("unet is a network that is not known") })
  }

  /// The index inside a single file does not list what the file cannot contain.
  @Test func whatIsNotWrittenIsNotListed() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let checker = ComponentName.safetyChecker
    try scratch.write(
      #"{"architectures": ["StableDiffusionSafetyChecker"]}"#, as: "model/\(checker)/config.json")
    try Safetensors.write(
      [.floats("concept_embeds", [1])], to: scratch.path("model/\(checker)/model.safetensors"))
    let pair = #"["stable_diffusion", "StableDiffusionSafetyChecker"]"#
    try scratch.write(
      #"{"_class_name": "StableDiffusionPipeline", "safety_checker": \#(pair)}"#,
      as: "model/model_index.json")
    let plan = try Conversion(
      of: ModelCheckpoint.open(model), to: .ldm, at: scratch.path("out"))
    #expect(plan.drops.map(\.name) == ["concept_embeds"])
    let index = try #require(try Self.object(plan, "model_index.json"))
    #expect(index["safety_checker"] == [.null, .null])
    #expect(!plan.files.contains { $0.path.hasPrefix("safety_checker/") })
  }

  /// A source's own index is kept unchanged; a part of a pipeline gets none.
  @Test func theSourcesOwnIndexIsKept() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    try scratch.write(
      #"{"_class_name": "StableDiffusionInstructPix2PixPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}"#,
      as: "model/model_index.json")
    let source = try ModelCheckpoint.open(model)
    let plan = try Conversion(of: source, to: .diffusers, at: scratch.path("out"))
    #expect(
      plan.files.first { $0.path == "model_index.json" }?.bytes
        == (try scratch.contents("model/model_index.json")))
    var options = Conversion.Options()
    options.components = [.unet, .vae]
    let part = try Conversion(
      of: source, to: .diffusers, at: scratch.path("part"), options: options)
    #expect(part.files.map(\.path) == ["unet/config.json", "vae/config.json"])
  }
}
