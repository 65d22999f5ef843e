import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import TestSupport
import Testing

/// Names, shapes and locations by the conventions of other tools, and fixed sizes.
@Suite struct ConventionTests {
  private func options(
    _ names: NameConvention, _ change: (inout ExportOptions) -> Void = { _ in }
  ) -> ExportOptions {
    var options = ExportOptions()
    options.names = names
    change(&options)
    return options
  }

  private func described(_ values: [ONNXModel.Value]) -> [String] {
    values.map { value in
      let sizes = value.shape.map { extent in
        switch extent {
        case .fixed(let size): String(size)
        case .named(let name): name
        case .unknown: "?"
        }
      }
      return "\(value.name) \(value.element) [\(sizes.joined(separator: ", "))]"
    }
  }

  /// NVIDIA's demo/Diffusion at release 10.13: the classes of `demo_diffusion/model/`.
  @Test(
    arguments: [
      (
        GraphName.unet,
        [
          "sample float32 [2B, 4, H, W]", "timestep float32 [1]",
          "encoder_hidden_states float32 [2B, 77, 768]",
        ], ["latent float32 [2B, 4, H, W]"]
      ),
      (
        GraphName.textEncoder, ["input_ids int32 [B, 77]"], ["text_embeddings float32 [B, 77, 768]"]
      ),
      (GraphName.vaeDecoder, ["latent float32 [B, 4, H, W]"], ["images float32 [B, 3, 8H, 8W]"]),
      (GraphName.vaeEncoder, ["images float32 [B, 3, 8H, 8W]"], ["latent float32 [B, 4, H, W]"]),
    ])
  func theDemonstrationsNames(name: GraphName, inputs: [String], outputs: [String]) throws {
    let model = try Published.model(name, options(.nvidia))
    #expect(described(model.inputs) == inputs)
    #expect(described(model.outputs) == outputs)
    #expect(!model.values.contains { $0.shape.contains(.unknown) })
  }

  /// 77 tokens of each of 2B prompts are 154B rows.
  @Test func multiplesOfNumberedSizesAreMultiplied() throws {
    let model = try Published.model(.unet, options(.nvidia))
    #expect(
      described(model.values).contains(
        "/encoder_hidden_states/Reshape_output_0 float32 [154B, 768]"))
  }

  /// The demo's prompts of 77 tokens need 77 positions.
  @Test func tooFewPlacesForTheDemonstrationAreNamed() throws {
    var json = try #require(Published.text.object)
    json["max_position_embeddings"] = 32
    let graph = try CLIPText.graph(CLIPTextConfiguration(json))
    #expect(try Published.model(graph).inputs[0].shape[1] == .named("sequence_length"))
    do {
      _ = try Published.model(graph, options(.nvidia))
      Issue.record("nothing was thrown")
    } catch let error as FormatError {
      #expect(error.code == .unsupported)
      #expect(error.message.contains("77") && error.message.contains("32"))
      #expect(error.hint?.mentions(.naming, "optimum") == true)
    }
  }

  /// ComfyUI_TensorRT's `tensorrt_convert.py`.
  @Test func comfysNames() throws {
    let model = try Published.model(.unet, options(.comfy))
    #expect(
      described(model.inputs) == [
        "x float32 [batch, 4, height, width]", "timesteps float32 [batch]",
        "context float32 [batch, num_embeds, 768]",
      ])
    #expect(described(model.outputs) == ["h float32 [batch, 4, height, width]"])
    for name in [GraphName.textEncoder, .vaeDecoder, .vaeEncoder] {
      #expect(throws: FormatError.self) { try Published.model(name, options(.comfy)) }
    }
  }

  @Test(
    arguments: [
      (ExportOptions.TimestepShape.scalar, [ONNXModel.Extent]()), (.vector, [.fixed(1)]),
      (.batch, [.named("batch_size")]),
    ])
  func theTimestepsShapeMayBeChosen(
    shape: ExportOptions.TimestepShape, extents: [ONNXModel.Extent]
  ) throws {
    let model = try Published.model(.unet, options(.optimum) { $0.timestep = shape })
    #expect(model.inputs[1].shape == extents)
    let embedded = try #require(
      model.values.first { $0.name == "/time_embedding/linear_2/Gemm_output_0" })
    #expect(embedded.shape == [shape == .batch ? .named("batch_size") : .fixed(1), .fixed(1280)])
  }

  @Test(arguments: Published.names, Opset.allCases)
  func fixedSizesLeaveNothingToMeasure(name: GraphName, opset: Opset) throws {
    for (height, width) in [(64, 64), (65, 33), (5, 11)] {
      let model = try Published.model(
        name,
        options(.optimum) {
          $0.opset = opset
          $0.sizes = Sizes(batch: 2, height: height, width: width)
        })
      let values = model.inputs + model.values + model.outputs
      #expect(
        values.allSatisfy { $0.shape.allSatisfy { if case .fixed = $0 { true } else { false } } })
      #expect(model.operatorCounts["Shape"] == nil)
      guard name == .unet else { continue }
      #expect(model.inputs[0].shape == [.fixed(2), .fixed(4), .fixed(height), .fixed(width)])
      // If a level has an odd height or width, the upsampled image is cropped.
      let cuts = (0..<3).filter { level in
        [height, width].contains { (($0 + (1 << level) - 1) >> level) % 2 == 1 }
      }
      #expect(model.operatorCounts["Slice", default: 0] == cuts.count)
    }
  }

  @Test func everyNetworkLiesWhereItsToolLooks() throws {
    try withTemporaryFolder { folder in
      let report = try ONNXExporter.export(
        sources(Fixtures.path("shapes-v2")), to: folder, options: options(.nvidia))
      #expect(
        report.networks.map { $0.modelPath.dropFirst(folder.count + 1) } == [
          "clip.opt/model.onnx", "unet.opt/model.onnx", "vae.opt/model.onnx",
          "vae_encoder.opt/model.onnx",
        ])
      for network in report.networks {
        #expect(FileManager.default.fileExists(atPath: network.modelPath + "_data"))
      }
    }
  }
}
