import ModelGraph
import ONNXExport
import OrderedJSON
import Testing

/// The models of the published networks, without their weights.
@Suite struct ModelTests {
  /// The best exporter to compare with keeps 1,853, 1,596 and 1,180 nodes, the last with 320 of the
  /// 686 names and with an Attention in F32 that TensorRT does not build.
  @Test(
    arguments: [
      (Opset.v17, ExportOptions.Precision.f32, 1545), (.v21, .f32, 1115), (.v23, .f32, 1115),
      (.v17, .f16, 1546), (.v21, .f16, 1116), (.v23, .f16, 1052),
    ])
  func unetIsSmall(
    opset: Opset, precision: ExportOptions.Precision, count: Int
  ) throws {
    var options = ExportOptions()
    options.opset = opset
    options.precision = precision
    let model = try Published.model(
      .unet, options, element: precision == .f16 ? .float16 : .float32)
    #expect(model.nodes.count == count)
    #expect(model.opset == opset.rawValue)
  }

  /// The paper's network: 22 residual blocks with two norms, 16 transformers with one and three,
  /// and the last norm; 4 resolutions.
  @Test func unetHasTheLayersOfTheNetwork() throws {
    let counts = try Published.model(.unet).operatorCounts
    #expect(counts["GroupNormalization"] == 22 * 2 + 16 + 1)
    #expect(counts["LayerNormalization"] == 16 * 3)
    #expect(counts["Softmax"] == 16 * 2)
    #expect(counts["Gelu"] == 16)
    #expect(counts["Conv"] == 2 + 22 * 2 + 14 + 16 * 2 + 3 + 3)
    #expect(counts["Resize"] == 3)
    #expect(try #require(counts["Shape"]) <= 4)
  }

  @Test(arguments: zip(Published.names, [196, 686, 140, 108]))
  func initializersAreTheParameters(name: GraphName, count: Int) throws {
    let graph = try Published.graph(name)
    let weights = try Published.model(name).initializers.filter { initializer in
      if case .external = initializer.contents { true } else { false }
    }
    #expect(weights.count == count)
    #expect(weights.map(\.name) == graph.parameters.map(\.name))
    #expect(weights.map(\.shape) == graph.parameters.map(\.shape))
  }

  @Test(arguments: Published.names, Opset.allCases)
  func valuesAreTypedAndComputedBeforeTheyAreRead(name: GraphName, opset: Opset) throws {
    var options = ExportOptions()
    options.opset = opset
    let model = try Published.model(name, options, element: .float16)
    var known = Set(model.inputs.map(\.name))
    var faults = model.initializers.map(\.name).filter { !known.insert($0).inserted }
    let typed = Set((model.values + model.outputs).map(\.name))
    for node in model.nodes {
      faults += node.inputs.filter { !$0.isEmpty && !known.contains($0) }
      faults += node.outputs.filter { !known.insert($0).inserted || !typed.contains($0) }
    }
    #expect(faults.isEmpty)
    #expect(model.outputs.allSatisfy { known.contains($0.name) })
    #expect(Set(model.nodes.map(\.name)).count == model.nodes.count)
    #expect(!model.values.contains { $0.shape.contains(.unknown) })
  }

  /// The versions of ONNX's `Versioning.md`.
  @Test(arguments: [(Opset.v17, 8), (.v21, 10), (.v23, 11)])
  func fileFormatIsTheOldestThatFits(opset: Opset, version: Int) throws {
    var options = ExportOptions()
    options.opset = opset
    #expect(try Published.model(.vaeEncoder, options).irVersion == version)
  }

  @Test(arguments: Published.names)
  func bytesReadBackAreTheModel(name: GraphName) throws {
    let model = try Published.model(name)
    let bytes = model.serialized()
    let read = try bytes.withUnsafeBytes { try ONNXModel(parsing: $0) }
    #expect(read == model)
    #expect(bytes.count < 1 << 20)
  }

  @Test func bytesThatAreNoModelAreRefused() throws {
    let bytes: [UInt8] = [0x0A, 0xFF, 0xFF, 0xFF, 0x7F, 0x00]
    #expect(throws: (any Error).self) {
      try bytes.withUnsafeBytes { try ONNXModel(parsing: $0) }
    }
  }

  /// An inpainting UNet takes the mask and the masked image's latents too.
  @Test func inpaintingTakesNineChannels() throws {
    var json = try #require(Published.unet.object)
    json["in_channels"] = 9
    let model = try Published.model(UNet.graph(UNetConfiguration(json)))
    #expect(
      model.inputs[0].shape == [.named("batch_size"), .fixed(9), .named("height"), .named("width")])
    #expect(model.outputs[0].shape[1] == .fixed(4))
    #expect(model.nodes.count == 1115)
  }

  /// Names and dimensions as optimum's exporter has them.
  @Test func inputsAndOutputsAreOptimums() throws {
    let unet = try Published.model(.unet)
    #expect(unet.inputs.map(\.name) == ["sample", "timestep", "encoder_hidden_states"])
    #expect(
      unet.inputs[0].shape == [.named("batch_size"), .fixed(4), .named("height"), .named("width")])
    #expect(unet.inputs[1].shape == [] && unet.inputs[1].element == .float32)
    #expect(
      unet.inputs[2].shape == [.named("batch_size"), .named("sequence_length"), .fixed(768)])
    #expect(unet.outputs.map(\.name) == ["out_sample"])
    #expect(unet.outputs[0].shape == unet.inputs[0].shape)

    let text = try Published.model(.textEncoder)
    #expect(text.inputs.map(\.name) == ["input_ids"] && text.inputs[0].element == .int64)
    #expect(text.outputs.map(\.name) == ["last_hidden_state", "pooler_output"])

    let decoder = try Published.model(.vaeDecoder)
    #expect(decoder.inputs.map(\.name) == ["latent_sample"])
    #expect(decoder.outputs.map(\.name) == ["sample"])
    #expect(
      decoder.outputs[0].shape == [
        .named("batch_size"), .fixed(3), .named("latent_height * 8"), .named("latent_width * 8"),
      ])

    let encoder = try Published.model(.vaeEncoder)
    #expect(encoder.inputs.map(\.name) == ["sample"])
    #expect(encoder.inputs[0].shape[2] == .named("sample_height"))
    #expect(encoder.outputs.map(\.name) == ["latent_parameters"])
    #expect(encoder.outputs[0].shape[2] == .named("sample_height / 8"))
  }

  @Test func nodesAreNamedByTheirModules() throws {
    let names = Set(try Published.model(.unet).nodes.map(\.name))
    for name in [
      "/conv_in/Conv", "/time_embedding/linear_1/Gemm",
      "/down_blocks.0/resnets.0/norm1/GroupNormalization",
      "/down_blocks.0/attentions.1/transformer_blocks.0/attn1/to_q/Gemm",
      "/up_blocks.1/upsamplers.0/Resize",
    ] {
      #expect(names.contains(name), "\(name)")
    }
  }

  /// Queries are scaled at their projection, before they meet the keys, so that matmuls do not
  /// overflow; no other layer is scaled.
  @Test(arguments: zip(Published.names, [12, 32, 1, 1]))
  func queriesAreScaledFirst(name: GraphName, count: Int) throws {
    let model = try Published.model(name)
    var scaled = 0
    for node in model.nodes where node.operatorType == "Gemm" {
      let arguments = Dictionary(
        uniqueKeysWithValues: node.attributes.map { ($0.name, $0.argument) })
      #expect(arguments["transB"] == .integer(1))
      guard let alpha = arguments["alpha"] else { continue }
      scaled += 1
      #expect(node.name.hasSuffix("/to_q/Gemm") || node.name.hasSuffix("/q_proj/Gemm"))
      #expect(arguments["beta"] == alpha)
    }
    #expect(scaled == count)
    guard name == .unet else { return }
    // 1280 channels in 8 heads.
    let node = try #require(
      model.nodes.first {
        $0.name == "/mid_block/attentions.0/transformer_blocks.0/attn1/to_q/Gemm"
      })
    #expect(
      node.attributes.first { $0.name == "alpha" }?.argument
        == .float(1 / Float(160).squareRoot()))
  }

  /// Each weight of a linear layer is read by one Gemm, unchanged from the checkpoint, so that
  /// engines can be refitted by name.
  @Test(arguments: Published.names)
  func linearWeightsAreReadAsTheyAre(name: GraphName) throws {
    let model = try Published.model(name)
    let graph = try Published.graph(name)
    for node in graph.nodes where node.operation == .linear {
      let weight = try #require(node.weight.map { graph[$0].name })
      let readers = model.nodes.filter { $0.inputs.contains(weight) }
      #expect(readers.map(\.operatorType) == ["Gemm"], "\(weight)")
    }
    #expect(model.operatorCounts["Shape", default: 0] <= (name == .unet ? 4 : 1))
  }
}
