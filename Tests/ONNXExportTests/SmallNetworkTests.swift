import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import TestSupport
import Testing

/// Distilled UNets, a latent consistency model's, an autoencoder of 16 channels.
@Suite struct SmallNetworkTests {
  /// The networks of `Fixtures/networks`, exported below `folder` under their names.
  ///
  /// - Parameter isExact: whether each graph is exported with its own names and shapes.
  private static func export(
    to folder: String, isExact: Bool = false, _ change: (inout ExportOptions) -> Void = { _ in }
  ) throws {
    var options = ExportOptions()
    change(&options)
    let networks: [(folder: String, component: ComponentName, graphs: [GraphName])] = [
      ("distilled", .unet, [.unet]), ("mixed", .unet, [.unet]), ("lcm", .unet, [.unet]),
      ("vae16", .vae, [.vaeDecoder, .vaeEncoder]),
    ]
    for network in networks {
      let component = try ModelCheckpoint.open(Fixtures.path("networks/\(network.folder)"))
        .require(network.component)
      if isExact {
        for name in network.graphs {
          _ = try ONNXExporter.export(
            component.graph(name),
            parameters: { name throws(FormatError) in try component.tensor(named: name) },
            to: "\(folder)/\(network.folder)/\(name)", options: options)
        }
        continue
      }
      let sources = try network.graphs.map { name in
        NetworkSource(graph: try component.graph(name), configuration: nil) {
          (parameter) throws(FormatError) in try component.tensor(for: parameter)
        }
      }
      _ = try ONNXExporter.export(sources, to: "\(folder)/\(network.folder)", options: options)
    }
  }

  @Test(
    .python("onnx", "onnxruntime", "safetensors"), arguments: Opset.allCases, [false, true])
  func numbersAreTheReferences(opset: Opset, isExact: Bool) throws {
    let python = try #require(Tool.python)
    try withTemporaryFolder { folder in
      try Self.export(to: folder, isExact: isExact) { $0.opset = opset }
      let checked = try Tool.launch(
        python,
        [
          "\(Fixtures.root)/Tests/ONNXExportTests/Oracle/small_networks.py", folder,
          Fixtures.path("networks/expected.safetensors"),
        ])
      #expect(checked.status == 0, "\(checked.output)\(checked.errors)")
    }
  }

  private static func unet(_ change: (inout ExportOptions) -> Void = { _ in }) throws -> ONNXModel {
    var options = ExportOptions()
    change(&options)
    let graph = try UNet.graph(
      UNetConfiguration(["time_cond_proj_dim": 256, "cross_attention_dim": 768]))
    return try Published.model(graph, options)
  }

  /// The input has optimum's name and a row for each image of the batch.
  @Test func guidanceIsAnInput() throws {
    let input = try #require(try Self.unet().inputs.first { $0.name == "timestep_cond" })
    #expect(input.element == .float32)
    #expect(input.shape == [.named("batch_size"), .fixed(256)])
    let half = try #require(
      try Self.unet { $0.precision = .f16 }.inputs.first { $0.name == "timestep_cond" })
    #expect(half.element == .float16)
    let fixed = try Self.unet { $0.sizes = Sizes(batch: 3, height: 64, width: 64) }
    #expect(
      fixed.inputs.first { $0.name == "timestep_cond" }?.shape == [.fixed(3), .fixed(256)])
    for names in [NameConvention.nvidia, .comfy] {
      let model = try Self.unet { $0.names = names }
      #expect(model.inputs.first { $0.name == "timestep_cond" }?.shape.count == 2)
    }
  }

  /// An engine's profile states the number of rows: one per image, since no negative prompt is
  /// evaluated.
  @Test func profilesKnowTheInput() throws {
    try withTemporaryFolder { folder in
      try Self.export(to: folder)
      let script = try String(
        contentsOfFile: "\(folder)/lcm/unet/build-engine.sh", encoding: .utf8)
      #expect(script.contains("opt=\"sample:1x4x64x64,encoder_hidden_states:1x77x64"))
      #expect(script.contains("timestep_cond:1x256"))
      #expect(script.contains("timestep_cond:4x256"))
    }
  }
}
