import Checkpoint
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import TestSupport
import Testing

/// Networks next to a pipeline's own three in ONNX Runtime, against diffusers and transformers.
@Suite(.python("diffusers", "transformers", "onnx", "onnxruntime"))
struct AdditionalNetworkTests {
  /// The networks that `networks.py` makes, by component and graphs.
  private static let networks: [(file: String, component: ComponentName, graphs: [GraphName])] = [
    ("tiny", .tinyAutoencoder, [.tinyDecoder, .tinyEncoder]),
    ("safety-none", .safetyChecker, [.safetyChecker]),
    ("controlnet", .controlNet, [.controlNet]),
  ]

  /// Makes the networks and calls `body` with their folder.
  private func withNetworks(_ body: (String) throws -> Void) throws {
    let python = try #require(Tool.python)
    try withTemporaryFolder { folder in
      let made = try Tool.launch(
        python,
        [
          "\(Fixtures.root)/Tests/DiffusionTests/Oracle/networks.py", folder,
          Fixtures.path("shapes-v2/tokenizer"),
        ])
      #expect(made.status == 0, "\(made.errors)")
      try body(folder)
    }
  }

  /// Runs a program of Oracle/, which checks an export.
  private func check(_ program: String, _ arguments: [String]) throws {
    let result = try Tool.launch(
      try #require(Tool.python),
      ["\(Fixtures.root)/Tests/ONNXExportTests/Oracle/\(program)"] + arguments)
    #expect(result.status == 0, "\(result.output)\(result.errors)")
  }

  @Test(arguments: ExportOptions.Precision.allCases)
  func numbersAreTheReferences(precision: ExportOptions.Precision) throws {
    try withNetworks { folder in
      for opset in Opset.allCases {
        var options = ExportOptions()
        options.opset = opset
        options.precision = precision
        let out = "\(folder)/\(opset)"
        for network in Self.networks {
          let component = try ModelCheckpoint.open("\(folder)/\(network.file)")
            .require(network.component)
          let sources = try network.graphs.map { name in
            NetworkSource(graph: try component.graph(name), configuration: nil) {
              (parameter) throws(FormatError) in try component.tensor(for: parameter)
            }
          }
          _ = try ONNXExporter.export(sources, to: out, options: options)
        }
        try check(
          "additional.py",
          [out, "\(folder)/expected.safetensors"]
            + Self.networks.flatMap(\.graphs).map(\.rawValue))
      }
    }
  }

  /// One graph at a time, as an engine takes it: a ControlNet, the UNet with its residuals, in two
  /// parts and with a LoRA, the halves of a tiny autoencoder, a safety checker, and a text encoder with one more
  /// embedding and the states of every layer.
  @Test func graphsGiveTheReferencesNumbers() throws {
    try withNetworks { folder in
      let expected = "\(folder)/expected.safetensors"
      func export(_ graph: Graph, of component: Component, as name: String? = nil) throws {
        _ = try ONNXExporter.export(
          graph, parameters: { name throws(FormatError) in try component.tensor(named: name) },
          to: "\(folder)/graphs/\(name ?? graph.name.rawValue)")
      }
      for network in Self.networks {
        let component = try ModelCheckpoint.open("\(folder)/\(network.file)")
          .require(network.component)
        for name in network.graphs { try export(component.graph(name), of: component) }
      }
      let repository = try ModelCheckpoint.open("\(folder)/repository")
      let unet = try repository.require(.unet)
      try export(unet.graphWithResidualInputs(), of: unet)
      let whole = try unet.graph(.unet)
      let node = try #require(whole.nodes.last { $0.operation == .concatenate }?.name)
      try export(#require(whole.giving(inputOf: node, as: "deep")), of: unet, as: "deep_unet")
      try export(#require(whole.taking(inputOf: node, as: "deep")), of: unet, as: "shallow_unet")
      try check(
        "additional.py",
        ["\(folder)/graphs", expected]
          + Self.networks.flatMap(\.graphs).map(\.rawValue)
          + ["unet", "deep_unet", "shallow_unet"])

      let lora = try LoRA.open(
        "\(folder)/lora.safetensors", scale: 0.7, for: repository.components)
      let weights = AdaptedWeights([lora])
      _ = try ONNXExporter.export(
        whole,
        parameters: { name throws(FormatError) in try weights.tensor(named: name, of: unet) },
        to: "\(folder)/lora/unet")
      try check("additional.py", ["\(folder)/lora", expected, "unet"])

      let text = try repository.require(.textEncoder)
      let object = try #require(text.configuration?.object)
      let table = "text_model.embeddings.token_embedding.weight"
      _ = try ONNXExporter.export(
        CLIPText.graph(CLIPTextConfiguration(object).adding(tokens: 1), earlierLayers: true),
        parameters: { name throws(FormatError) in
          let tensor = try text.tensor(named: name)
          guard name == table else { return tensor }
          let bytes = tensor.contiguousBytes()
          let width = 4 * tensor.shape[1]
          let row = bytes[(7 * width)..<(8 * width)].withUnsafeBytes { row in
            (0..<tensor.shape[1]).map {
              2 * row.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)
            }
          }
          return Tensor(
            name: name, dtype: .float32, shape: [tensor.shape[0] + 1, tensor.shape[1]],
            storage: .memory(bytes + row.withUnsafeBytes { Array($0) }))
        }, to: "\(folder)/text")
      try check(
        "text_graph.py", ["\(folder)/text/model.onnx", "\(folder)/repository/text_encoder"])
    }
  }
}
