import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Other programs' files, reported by a user.
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
    let components = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).components
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

  /// Names that trainers use without kohya's usual prefix: `networks.oft` of sd-scripts, and
  /// OneTrainer's names of the single file without `diffusion_model.`.
  @Test(arguments: [
    "oft_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q",
  ])
  func otherNamesOfLayers(module: String) throws {
    let scratch = try Scratch()
    let components = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).components
    let unet = try #require(components.first { $0.name == .unet })
    let tensors = Self.lora(.float32, below: "", of: try unet.tensor(named: Self.weight))
    try Safetensors.write(
      tensors.map { $0.renamed($0.name.replacing(Self.module, with: module)) },
      to: scratch.path("lora"))
    let lora = try LoRA.open(scratch.path("lora"), for: components)
    #expect(lora.unused == [])
    #expect(lora.updates[.unet]?.keys.sorted() == [Self.weight])
  }

  /// A GGUF file returns the metadata of the safetensors file that it was made from, and its own
  /// metadata is named if lost.
  @Test func wordsGoThroughGGUF() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let source = try single.write(
      "file", in: scratch,
      metadata: single.metadata + [("modelspec.prediction_type", "v"), ("ss_note", "mine")])
    try LayoutTests.convert(source, to: .gguf, at: scratch.path("gguf"))
    try LayoutTests.convert(scratch.path("gguf"), to: .ldm, at: scratch.path("back"))
    let metadata = try TensorFile.open(scratch.path("back")).metadata
    #expect(metadata.first { $0.key == "modelspec.prediction_type" }?.value == "v")
    #expect(metadata.first { $0.key == "ss_note" }?.value == "mine")
    let plan = try Conversion(
      of: ModelCheckpoint.open(scratch.path("gguf")), to: .sdflat, at: scratch.path("flat"))
    #expect(
      plan.warnings.contains { $0.hasSuffix("not written: modelspec.prediction_type, ss_note") })
    let tensor = Tensor.floats("weight", [2])
    let writer = try GGUFWriter(
      path: scratch.path("named.gguf"), tensors: [tensor.info],
      metadata: [
        ("general.architecture", .text("sd")), ("general.name", .text("mine")),
        ("sd.x", .text("y")),
      ])
    try tensor.withContiguousPieces(limit: 8) { try writer.write($0) }
    try writer.commit()
    let named = try Conversion(
      of: ModelCheckpoint.open(scratch.path("named.gguf")), to: .safetensors,
      at: scratch.path("named"))
    #expect(named.warnings.contains { $0.hasSuffix("not written: general.name, sd.x") })
  }

  /// A conversion says which blocks it writes as numbers.
  @Test func blocksAreNamedAsTheyAreWritten() throws {
    var options = Conversion.Options()
    options.dropUnknown = true
    let plan = try Conversion(
      of: ModelCheckpoint.open(Fixtures.path("formats/blocks.gguf")), to: .safetensors, at: "out",
      options: options)
    let line = try #require(plan.lines().first { $0.contains("Q4_0") })
    #expect(line.contains("Q4_0 -> F32"))
  }

  /// Dictionaries around tensors that no network knows do not make two files differ.
  @Test func dictionariesAreNoDifference() throws {
    func component(_ prefix: String) -> Component {
      Component(
        name: .other, architecture: nil, configuration: nil, path: "file", format: .safetensors,
        tensors: [.floats(prefix + "betas", [4]), .floats(prefix + "unet.odd", [2])])
    }
    let same = try CheckpointDifference([component("")], [component("state_dict.")])
    #expect(same.isSame)
    #expect(same.parts.first?.pairs.count == 2)
  }

  /// Without all of a pipeline's networks a repository's index is not written, which is said.
  @Test func aMissingIndexIsNamed() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let source = try single.write("file", in: scratch, metadata: single.metadata) {
      $0.name.hasPrefix("first_stage_model.") ? nil : $0
    }
    let plan = try Conversion(
      of: ModelCheckpoint.open(source), to: .diffusers, at: scratch.path("out"))
    #expect(
      plan.notes.contains {
        $0.hasPrefix("model_index.json is not written") && $0.hasSuffix("the source has no VAE")
      })
  }

  /// A repository that predicts velocity says so in the single file that is made of it.
  @Test(arguments: [Conversion.Target.ldm, .gguf])
  func predictionsAreWritten(target: Conversion.Target) throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    let path = "scheduler/scheduler_config.json"
    var scheduler = try #require(
      try JSON(parsing: Fixtures.text("shapes-v2/" + path)).object)
    scheduler["prediction_type"] = "v_prediction"
    try scratch.write(JSON.object(scheduler).text(), as: "model/" + path)
    try LayoutTests.convert(model, to: target, at: scratch.path("out"))
    let metadata = try TensorFile.open(scratch.path("out")).metadata
    #expect(metadata.first { $0.key == "modelspec.prediction_type" }?.value == "v")
    let torch = try Conversion(
      of: ModelCheckpoint.open(model), to: .ldm, at: scratch.path("out.ckpt"))
    #expect(torch.warnings.contains { $0.contains("v_prediction") })
  }

  /// What ComfyUI writes for the prediction.
  @Test func comfyUIsKeyIsRead() throws {
    let scratch = try Scratch()
    let single = try SingleFile(in: scratch)
    let source = try single.write(
      "file", in: scratch, metadata: [("modelspec.predict_key", "v")])
    #expect(
      try Recognition(ModelCheckpoint.open(source)).reasons.contains {
        $0.hasPrefix("modelspec.predict_key (v)")
      })
  }

  /// A ControlNet saved as a difference from a UNet cannot be used.
  @Test func controlNetsAsDifferences() throws {
    let scratch = try Scratch()
    let tensors: [Tensor] = [
      .floats("control_model.input_hint_block.0.weight", [16, 3, 3, 3]),
      .floats("control_model.input_blocks.0.0.weight", [32, 4, 3, 3]),
    ]
    func open(_ others: [Tensor]) throws -> ModelCheckpoint {
      try Safetensors.write(tensors + others, to: scratch.path("file"), overwrite: true)
      return try ModelCheckpoint.open(scratch.path("file"))
    }
    #expect(!(try open([])).isControlNetDifference)
    let source = try open([.floats("difference", [1])])
    #expect(source.isControlNetDifference)
    #expect(source.warnings.contains(ModelCheckpoint.controlNetDifference))
    var options = Conversion.Options()
    options.dropUnknown = true
    let error = try #require(
      try failure {
        _ = try Conversion(
          of: source, to: .diffusers, at: scratch.path("out"), options: options)
      })
    #expect(error.code == .unsupported && error.context == "difference")
  }

  /// Programs, licenses and directories of a repository that nothing reads are named.
  @Test func otherFilesAreNamed() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    for name in ["LICENSE.md", "unet/my_unet.py", "assets/picture.png"] {
      try scratch.write([1], as: "model/" + name)
    }
    let plan = try Conversion(
      of: ModelCheckpoint.open(model), to: .diffusers, at: scratch.path("out"))
    #expect(
      plan.json["dropped_files"]?.array?.map(\.string)
        == ["LICENSE.md", "assets/", "unet/my_unet.py"])
  }

  /// One shard of several says that it is one.
  @Test func aShardAloneSaysSo() throws {
    let scratch = try Scratch()
    let path = scratch.path("model-00002-of-00003.safetensors")
    try Safetensors.write([.floats("x", [1])], to: path)
    #expect(
      try ModelCheckpoint.open(path).warnings.contains {
        $0.hasPrefix("by its name this is shard 2 of 3")
      })
  }

  /// A LoRA whose names begin as a text encoder's is not a text encoder.
  @Test func adaptersAreNotTakenApart() throws {
    let scratch = try Scratch()
    let tensors = [
      "diffusion_model.input_blocks.1.1.proj_in", "diffusion_model.input_blocks.2.1.proj_in",
      "text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1",
    ].flatMap { name -> [Tensor] in
      [.floats(name + ".lora_up.weight", [8, 2]), .floats(name + ".lora_down.weight", [2, 8])]
    }
    try Safetensors.write(tensors, to: scratch.path("lora"))
    let source = try ModelCheckpoint.open(scratch.path("lora"))
    #expect(source.components.map(\.name) == [.model])
    let error = try #require(
      try failure { _ = try Conversion(of: source, to: .ldm, at: scratch.path("out")) })
    #expect(error.message.contains("the layout ldm is for models; this is LoRA"))
  }

  /// OneTrainer's names: the embedding vectors, and those learned for the text encoder's output.
  @Test func oneTrainersEmbeddings() throws {
    let file = try #require(
      TextualInversionFile([.floats("emp_params", [2, 64]), .floats("emp_params_out", [2, 64])]))
    #expect(file.entries.map(\.tensor.name) == ["emp_params"])
    #expect(file.entries[0].word == nil && file.entries.count == 1)
    let bundled = try #require(
      TextualInversionFile([.floats("clip_l", [2, 64]), .floats("clip_l_out", [2, 64])]))
    #expect(bundled.entries.map(\.tensor.name) == ["clip_l"])
  }

  /// An unknown tensor stays below the part of the prefix that it has.
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

  /// How EMA weights were averaged is not part of the network: diffusers' EMAModel saves it with
  /// them.
  @Test func fieldsOfAveragesAreNoFault() throws {
    let scratch = try Scratch()
    let model = try scratch.linkedRepository()
    var configuration = try #require(
      try JSON(parsing: Fixtures.text("shapes-v2/unet/config.json")).object)
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

  /// A pipeline with a ControlNet is recognized as its base model.
  @Test func pipelinesWithControlNetsAreModels() throws {
    let source = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
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

  /// An export reports that scales are multiplied in.
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
    let drops = try ModelCheckpoint.open(source).tensors(outside: [.unet], isChoice: true)
    #expect(
      drops.first { $0.name.hasSuffix("scale_weight") }?.reason
        == "scales of 8-bit weights, which are multiplied in")
  }
}
