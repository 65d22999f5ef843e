import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

extension EngineTests {
  /// Networks of the bundled model, exported for ONNX Runtime.
  enum ExportedNetworks {
    static func runtime() throws -> ONNXRuntime {
      try ONNXRuntime.load(from: Fixtures.onnxRuntime)
    }

    /// Calls `body` with a folder that has `NAME/model.onnx` for each network.
    static func with<R>(
      _ names: [GraphName], _ options: ExportOptions = ExportOptions(),
      _ body: (String) throws -> R
    ) throws -> R {
      return try withTemporaryFolder { folder in
        let checkpoint = try GoldenTests.model.get()
        let sources = try names.map { name in
          let component = try checkpoint.require(
            [.vaeDecoder, .vaeEncoder].contains(name)
              ? .vae : ComponentName(rawValue: name.rawValue))
          return NetworkSource(
            graph: try component.graph(name),
            configuration: checkpoint.file(named: "\(component.name)/config.json")?.bytes
          ) { (parameter) throws(FormatError) in try component.tensor(for: parameter) }
        }
        _ = try ONNXExporter.export(sources, to: folder, options: options)
        return try body(folder)
      }
    }

    /// A network on ONNX Runtime.
    static func network(
      _ name: GraphName, in folder: String, _ options: ONNXRuntimeOptions = ONNXRuntimeOptions()
    ) throws -> ONNXRuntimeNetwork {
      try ONNXRuntimeNetwork(
        model: "\(folder)/\(name.rawValue)/model.onnx", runtime: runtime(), options: options)
    }

    /// The inputs of a network, and the same network on our own engine.
    static func reference(
      _ name: GraphName
    ) throws -> (inputs: [String: Value], outputs: [String: Value]) {
      let sizes = ExecutableTests.sizes
      switch name {
      case .textEncoder:
        let inputs = ["input_ids": try Golden("text").ids("ids")]
        let encoder = try GoldenTests.executable(.textEncoder, .textEncoder, sizes: sizes)
        return (inputs, try encoder.run(inputs))
      case .unet:
        let inputs = try ExecutableTests.inputs()
        return (inputs, try ExecutableTests.unet().run(inputs))
      case .vaeDecoder:
        let golden = try Golden(path: Fixtures.path("engine/odd-sizes.safetensors"))
        let inputs = ["latent_sample": try golden.value("latent")]
        let decoder = try GoldenTests.executable(.vae, .vaeDecoder, sizes: sizes)
        return (inputs, try decoder.run(inputs))
      default:
        let golden = try Golden(path: Fixtures.path("engine/odd-sizes.safetensors"))
        let inputs = ["sample": try golden.value("picture")]
        let encoder = try GoldenTests.executable(.vae, .vaeEncoder, sizes: sizes)
        return (inputs, try encoder.run(inputs))
      }
    }
  }
}
