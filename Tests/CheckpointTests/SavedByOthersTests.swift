import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Files as other programs save them, found by a user's trial.
@Suite struct SavedByOthersTests {
  static let module = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
  static let weight = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"

  /// Factors of ones, of a type and below a dictionary.
  static func lora(_ dtype: DType, below dictionary: String, of weight: Tensor) -> [Tensor] {
    let one: [UInt8] = dtype == .float8E4M3 ? [0x38] : [0, 0, 0x80, 0x3F]
    func ones(_ name: String, _ shape: Shape) -> Tensor {
      let bytes = (0..<(shape.elementCount ?? 0)).flatMap { _ in one }
      return Tensor(
        name: dictionary + module + name, dtype: dtype, shape: shape, storage: .memory(bytes))
    }
    return [
      ones(".lora_down.weight", [2, weight.shape[1]]),
      ones(".lora_up.weight", [weight.shape[0], 2]),
      ones(".alpha", []),
    ]
  }

  /// A dictionary around the adapter and 8-bit factors change nothing: each weight gains
  /// alpha / rank * (1 + 1) = 1.
  @Test(arguments: [DType.float32, .float8E4M3], ["", "state_dict."])
  func adaptersAreApplied(dtype: DType, dictionary: String) throws {
    let scratch = try Scratch()
    let components = try ModelCheckpoint.open(Fixtures.path("shapes-v1")).components
    let unet = try #require(components.first { $0.name == .unet })
    let tensor = try unet.tensor(named: Self.weight)
    try Safetensors.write(
      Self.lora(dtype, below: dictionary, of: tensor), to: scratch.path("lora"))
    let lora = try LoRA.open(scratch.path("lora"), for: components)
    #expect(lora.unused == [])
    let update = try #require(lora.updates[.unet]?[Self.weight])
    func values(_ updates: [WeightUpdate]) throws -> [Float] {
      var values: [Float] = []
      _ = try tensor.withSaturatedPieces(as: .float32, adding: updates) {
        values += $0.bindMemory(to: Float.self)
      }
      return values
    }
    let (before, after) = (try values([]), try values([update]))
    #expect(zip(before, after).allSatisfy { abs($1 - $0 - 1) < 1e-6 })
  }

  /// A tensor that no network knows keeps its place below the part of the prefix that it has.
  @Test func unknownNamesKeepTheirPlace() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let names = ["cond_stage_model.x", "model.diffusion_model.x", "first_stage_model.x.y"]
    let source = try single.write(
      "file", in: scratch, metadata: single.metadata,
      adding: names.map { .floats($0, [1]) })
    try LayoutTests.convert(source, to: .ldm, at: scratch.path("out"))
    let written = Set(try TensorFile.open(scratch.path("out")).tensors.map(\.name))
    #expect(written == Set(single.tensors.map(\.name) + names))
  }

  /// How averages were taken is no part of the network: diffusers' EMAModel saves it with them.
  @Test func fieldsOfAveragesAreNoFault() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    var configuration = try #require(
      try JSON(parsing: Fixtures.text("shapes-v1/unet/config.json")).object)
    configuration["decay"] = 0.9999
    configuration["inv_gamma"] = 1.0
    configuration["min_decay"] = 0.0
    configuration["optimization_step"] = 100
    configuration["power"] = 0.6667
    configuration["update_after_step"] = 0
    configuration["use_ema_warmup"] = false
    try scratch.write(JSON.object(configuration).text(), as: "model/unet/config.json")
    let result = try Verification(of: ModelCheckpoint.open(model))
    #expect(result.isSound && result.unchecked == [])
  }

  /// A pipeline with a ControlNet is the model that it serves.
  @Test func pipelinesWithControlNetsAreModels() throws {
    let source = try ModelCheckpoint.open(Fixtures.path("shapes-v1"))
    let control = Component(
      name: .controlNet, architecture: nil, configuration: nil, path: "controlnet",
      format: .safetensors,
      tensors: [
        .floats("controlnet_cond_embedding.conv_in.weight", [1]), .floats("conv_in.weight", [1]),
      ])
    let pipeline = ModelCheckpoint(
      path: "model", layout: .repository, components: source.components + [control])
    #expect(Recognition(pipeline).kind == Recognition(source).kind)
    let alone = ModelCheckpoint(path: "controlnet", layout: .component, components: [control])
    #expect(Recognition(alone).kind == .controlNet)
  }

  /// An export says of scales that they are multiplied in.
  @Test func scalesOfAnExportAreNamed() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let name = SingleFile.unet + "input_blocks.0.0.weight"
    let source = try single.write(
      "file", in: scratch, metadata: single.metadata,
      adding: [.floats(SingleFile.unet + "input_blocks.0.0.scale_weight", [1])]
    ) { tensor in
      tensor.name != name
        ? tensor
        : Tensor(
          name: name, dtype: .float8E4M3, shape: tensor.shape,
          storage: .memory([UInt8](repeating: 0x38, count: tensor.elementCount)))
    }
    let drops = try ModelCheckpoint.open(source).tensors(outside: ["unet"], isChoice: true)
    #expect(
      drops.first { $0.name.hasSuffix("scale_weight") }?.reason
        == "scales of 8-bit weights, which are multiplied in")
  }
}
