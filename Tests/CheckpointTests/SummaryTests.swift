import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

@Suite struct SummaryTests {
  /// Counted by torch: golden/summary.json next to the model.
  @Test func countsTheEmbeddedModel() throws {
    let golden = try JSON(parsing: Fixtures.text("shapes-v2/golden/summary.json"))
    let summary = Summary(try ModelCheckpoint.open(Fixtures.path("shapes-v2")))
    for component in summary.components {
      let name = component.name.rawValue
      #expect(component.parameters == golden["parameters"]?[name]?.int)
      #expect(component.buffers == golden["buffers"]?[name]?.int ?? 0)
      #expect(component.terms.reduce(0) { $0 + $1.parameters } == component.parameters)
    }
    #expect(summary.parameters == 3_367_104 + 5_801_540 + 1_028_935)
    #expect(summary.buffers == 77)
    // F16 but for the position ids.
    #expect(summary.bytes == 2 * summary.parameters + 8 * 77)
    #expect(summary.warnings == [])
  }

  /// By arithmetic from the configuration: hidden width 64, 4 layers, 49,408 tokens, 77 places.
  @Test func breaksTheTextEncoderDown() throws {
    let summary = Summary(try ModelCheckpoint.open(Fixtures.path("shapes-v2")))
    let attention = 4 * (64 * 64 + 64)
    let mlp = 2 * 64 * 256 + 256 + 64
    let layer = attention + mlp + 4 * 64
    let terms = summary.components[0].terms
    #expect(
      terms.map(\.name) == [
        "token_embedding", "position_embedding", "layers.0", "layers.1", "layers.2", "layers.3",
        "final_layer_norm",
      ])
    #expect(
      terms.map(\.parameters) == [3_162_112, 4928, layer, layer, layer, layer, 128])
    #expect(
      summary.components[1].terms.map(\.name) == [
        "time_embedding", "conv_in", "down_blocks.0", "down_blocks.1", "down_blocks.2",
        "down_blocks.3", "mid_block", "up_blocks.0", "up_blocks.1", "up_blocks.2", "up_blocks.3",
        "conv_norm_out", "conv_out",
      ])
    #expect(
      Set(summary.components[2].terms.map(\.name))
        == ["encoder", "decoder", "quant_conv", "post_quant_conv"])
  }

  @Test func printsTheFieldsOfTheContract() throws {
    let json = Summary(try ModelCheckpoint.open(Fixtures.path("shapes-v2"))).json
    #expect(
      json.object?.keys == [
        "version", "path", "format", "model", "family", "components", "totals", "leftovers",
        "metadata", "unread_weights", "warnings", "safety",
      ])
    #expect(json["format"] == "diffusers")
    let component = try #require(json["components"]?.array?.first)
    #expect(
      component.object?.keys == [
        "name", "architecture", "parameters", "buffers", "tensors", "bytes", "bytes_as", "dtypes",
        "stored_types", "naming", "configuration", "missing", "unexpected", "misfits", "terms",
        "packed",
      ])
    #expect(component["name"] == "text_encoder")
    #expect(component["dtypes"] == ["F16": .integer(68), "I64": 1])
    #expect(json["totals"]?["parameters"] == 10_197_579)
  }

  /// Everything that is not a network's parameter is listed by kind, counted and named.
  @Test func countsWhatIsLeftOver() throws {
    let networks = SpelledNetwork.all.filter { $0.size == "v1.5" }
    let single = ["cond_stage_model.transformer.", "first_stage_model.", "model.diffusion_model."]
    var tensors = try zip(networks, single).flatMap {
      try $0.tensors(Naming(.singleFile, prefix: $1), wrapper: "state_dict.")
    }
    tensors += try networks[2].tensors(NetworkDescriptor.average, wrapper: "state_dict.")
    let junk: [(String, Leftover.Kind)] = [
      ("state_dict.betas", .noiseSchedule), ("state_dict.model_ema.decay", .averageCounters),
      ("optimizer_states.0.state.0.exp_avg", .optimizerState),
      ("state_dict.loss.discriminator.main.0.weight", .trainingLoss),
      ("state_dict.model.diffusion_model.extra", .unknown), ("state_dict.odd", .unknown),
    ]
    tensors += junk.map { .floats($0.0, [1, 2]) }
    let dropped = try #require(
      tensors.firstIndex { $0.name.hasSuffix("diffusion_model.out.2.bias") })
    tensors.remove(at: dropped)
    let summary = Summary(
      ModelCheckpoint.of(TensorFile(path: "weights", format: .pytorch, tensors: tensors)))
    #expect(
      summary.leftovers.map(\.kind) == [
        .noiseSchedule, .averageCounters, .positionIDs, .optimizerState, .trainingLoss, .unknown,
      ])
    for (name, kind) in junk {
      #expect(summary.leftovers.first { $0.kind == kind }?.names.contains(name) == true, "\(name)")
    }
    #expect(summary.leftovers.first?.bytes == 8)
    let unet = try #require(summary.components.first { $0.name == .unet })
    #expect(unet.missing == ["conv_out.bias"])
    #expect(unet.unexpected == ["state_dict.model.diffusion_model.extra"])
    #expect(unet.naming == Naming(.singleFile, prefix: "model.diffusion_model."))
    #expect(unet.configurationOrigin == .inferred)
    let average = try #require(summary.components.first { $0.name == .unetEMA })
    #expect(average.parameters == 859_520_964)
    #expect(average.naming == NetworkDescriptor.average)
    // 196 tensors and position ids of F32 and I64: four bytes each, and as F16 two.
    let text = try #require(summary.components.first { $0.name == .textEncoder })
    #expect(text.bytesAsF32 == 4 * 123_060_480 + 8 * 77)
    #expect(text.bytesAsF16 == 2 * 123_060_480 + 8 * 77)
  }

  /// An ONNX model is described by its graph; its nodes are counted by operator.
  @Test func describesAnONNXModel() throws {
    let summary = Summary(try ModelCheckpoint.open(Fixtures.path("formats/types.onnx")))
    #expect(summary.format == "onnx")
    #expect(summary.recognition.kind == .onnxModel)
    let keys = summary.metadata.map(\.key)
    #expect(keys.contains("nodes"))
    #expect(keys.contains { $0.hasPrefix("operator ") })
    let nodes = summary.metadata.first { $0.key == "nodes" }.flatMap { Int($0.value) }
    let operators = summary.metadata.filter { $0.key.hasPrefix("operator ") }
      .compactMap { Int($0.value) }
    #expect(operators.reduce(0, +) == nodes)
    #expect(summary.recognition.reasons[0].contains("\(nodes ?? 0) nodes"))
  }

  /// A tensor saved alone has no name, but the sentence needs one.
  @Test func namesALoneTensor() throws {
    let checkpoint = try ModelCheckpoint.open(Fixtures.path("formats/lone.pt"))
    #expect(checkpoint.components[0].tensors.map(\.name) == [""])
    let reasons = Summary(checkpoint).recognition.reasons
    #expect(reasons.count == 1 && reasons[0].hasSuffix("the first are (unnamed)"))
  }

  /// A thousand problems are one line.
  @Test func sumsManyProblemsUp() throws {
    let unet = try #require(
      SpelledNetwork.all.first { $0.size == "v1.5" && $0.architecture == .unet })
    let tensors = try unet.tensors(.published).prefix(400)
    let component = Component(
      name: .unet, architecture: unet.architecture.className,
      configuration: Configuration(object: unet.configuration, path: "config.json"),
      path: "weights", format: .safetensors, tensors: Array(tensors))
    let problems = try #require(component.manifest).summedProblems
    #expect(problems.count == 1)
    #expect(problems[0].hasPrefix("286 tensors are missing: "))
    #expect(problems[0].hasSuffix(" and 283 more"))
  }

  /// Two names for one storage are one set of parameters.
  @Test func countsSharedValuesOnce() throws {
    let scratch = try Scratch()
    try Safetensors.write(
      [.floats("a", [1, 2]), .floats("c", [3, 4]), .zeros("ids", .int32, [3])],
      to: scratch.path("file"))
    let tensors = try TensorFile.open(scratch.path("file")).tensors
    let counts = Summary.elements(of: tensors + [tensors[0].renamed("b")])
    #expect(counts == (parameters: 4, buffers: 3))
  }

  /// A view of another tensor's values adds nothing; one that overlaps them adds the new part.
  @Test func countsOverlappingViewsOnce() throws {
    let scratch = try Scratch()
    try Safetensors.write(
      [.floats("a", [1, 2, 3, 4]), .floats("c", [5, 6])], to: scratch.path("file"))
    let tensors = try TensorFile.open(scratch.path("file")).tensors
    let file = try #require(tensors[0].file)
    let start = try #require(tensors[0].offset)
    let views = [0, 2, 3].map { first in
      Tensor(
        name: "view \(first)", dtype: .float32, shape: [2],
        storage: .mapped(file, offset: start + 4 * first))
    }
    #expect(Summary.elements(of: tensors + views).parameters == 6)
    #expect(Summary.elements(of: [tensors[0], views[2]]).parameters == 5)
    #expect(Summary.elements(of: views.reversed()).parameters == 5)
  }
}
