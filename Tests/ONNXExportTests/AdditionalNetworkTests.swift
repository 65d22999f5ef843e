import Checkpoint
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

/// Networks next to a pipeline's own three in ONNX Runtime, against diffusers and transformers.
@Suite(.python("diffusers", "transformers", "onnxruntime"))
struct AdditionalNetworkTests {
  @Test(arguments: Opset.allCases)
  func numbersAreTheReferences(opset: Opset) throws {
    let python = try #require(Tool.python)
    try withTemporaryFolder { folder in
      let script = "\(Fixtures.root)/Tests/DiffusionTests/Oracle/networks.py"
      let made = try Tool.launch(
        python, [script, folder, Fixtures.path("shapes-v2/tokenizer")])
      #expect(made.status == 0, "\(made.errors)")
      let networks: [(file: String, component: ComponentName, graphs: [GraphName])] = [
        ("tiny", .tinyAutoencoder, [.tinyDecoder, .tinyEncoder]),
        ("safety-none", .safetyChecker, [.safetyChecker]),
        ("controlnet", .controlNet, [.controlNet]),
      ]
      var options = ExportOptions()
      options.opset = opset
      for network in networks {
        let component = try ModelCheckpoint.open("\(folder)/\(network.file)")
          .require(network.component)
        let sources = try network.graphs.map { name in
          NetworkSource(graph: try component.graph(name), configuration: nil) {
            (parameter) throws(FormatError) in try component.tensor(for: parameter)
          }
        }
        _ = try ONNXExporter.export(sources, to: "\(folder)/onnx", options: options)
      }
      let checked = try Tool.launch(
        python,
        [
          "\(Fixtures.root)/Tests/ONNXExportTests/Oracle/additional.py", "\(folder)/onnx",
          "\(folder)/expected.safetensors",
        ])
      #expect(checked.status == 0, "\(checked.output)\(checked.errors)")
    }
  }
}
