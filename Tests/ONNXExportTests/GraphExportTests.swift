import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

/// One graph with given parameters, exported for an engine that runs it. That its numbers are right
/// is tested in AdditionalNetworkTests.
@Suite struct GraphExportTests {
  private func model(_ folder: String) throws -> ONNXModel {
    let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(folder)/model.onnx")))
    return try bytes.withUnsafeBytes { try ONNXModel(parsing: $0) }
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

  /// Exports a graph of a component of the bundled model, or of Fixtures/networks.
  private func export(
    _ graph: Graph, of component: Component, _ options: ExportOptions = ExportOptions(),
    _ body: (String, ExportReport) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      let report = try ONNXExporter.export(
        graph, parameters: { name throws(FormatError) in try component.tensor(named: name) },
        to: "\(folder)/a/b", options: options)
      try body("\(folder)/a/b", report)
    }
  }

  /// The names of the convention, and of the timestep's shape, change nothing.
  @Test func namesAndShapesAreTheGraphs() throws {
    let unet = try ModelCheckpoint.open(Fixtures.path("networks/lcm")).require(.unet)
    var options = ExportOptions()
    options.names = .nvidia
    options.timestep = .batch
    options.weights = .link
    try export(unet.graph(.unet), of: unet, options) { folder, report in
      let model = try model(folder)
      #expect(
        described(model.inputs) == [
          "sample float32 [batch, 4, height, width]", "timestep float32 [1]",
          "encoder_hidden_states float32 [batch, sequence, 64]", "timestep_cond float32 [1, 256]",
        ])
      #expect(described(model.outputs) == ["out_sample float32 [batch, 4, height, width]"])
      #expect(!model.values.contains { $0.shape.contains(.unknown) })
      #expect(report.paths.map { URL(filePath: $0).lastPathComponent }.sorted() == files(folder))
      #expect(files(folder) == ["model.onnx", "model.onnx_data"])
      #expect(report.networks.map(\.modelPath) == ["\(folder)/model.onnx"])
      #expect(report.networks[0].scriptPath == nil)
    }
  }

  private func files(_ folder: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }

  /// Residual inputs, and the value that later steps take from an earlier one.
  @Test func graphsWithMoreInputsAndOutputs() throws {
    let unet = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).require(.unet)
    let graph = try unet.graphWithResidualInputs()
    let node = try #require(graph.nodes.last { $0.operation == .concatenate }?.name)
    let giving = try #require(graph.giving(inputOf: node, as: "deep"))
    try export(giving, of: unet) { folder, _ in
      let model = try model(folder)
      #expect(model.inputs.map(\.name) == giving.inputs.map { giving[$0].name })
      #expect(model.inputs.contains { $0.name == "mid_block_additional_residual" })
      #expect(model.outputs.map(\.name) == ["out_sample", "deep"])
    }
    let taking = try #require(unet.graph(.unet).taking(inputOf: node, as: "deep"))
    try export(taking, of: unet) { folder, report in
      let model = try model(folder)
      #expect(model.inputs.map(\.name) == taking.inputs.map { taking[$0].name })
      #expect(model.inputs.contains { $0.name == "deep" })
      #expect(report.networks[0].weights < 442)
    }
  }

  /// The states of each layer share the last norm, which is one initializer.
  @Test func outputsOfEarlierLayers() throws {
    let text = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).require(.textEncoder)
    let object = try #require(text.configuration?.object)
    let graph = try CLIPText.graph(CLIPTextConfiguration(object), earlierLayers: true)
    try export(graph, of: text) { folder, report in
      let model = try model(folder)
      let width = try #require(graph[graph.outputs[0]].shape[2].fixed)
      #expect(described(model.inputs) == ["input_ids int64 [batch, sequence]"])
      #expect(
        described(model.outputs)
          == graph.outputs.map { "\(graph[$0].name) float32 [batch, sequence, \(width)]" })
      #expect(model.outputs.count > 2)
      let norm = "text_model.final_layer_norm.weight"
      #expect(model.initializers.count { $0.name == norm } == 1)
      #expect(report.networks[0].weights == 68)
    }
  }

  @Test func fixedSizesAndHalfPrecision() throws {
    let vae = try ModelCheckpoint.open(Fixtures.path("shapes-v2")).require(.vae)
    var options = ExportOptions()
    options.precision = .f16
    options.sizes = Sizes(batch: 1, height: 4, width: 6)
    try export(vae.graph(.vaeDecoder), of: vae, options) { folder, _ in
      let model = try model(folder)
      #expect(described(model.inputs) == ["latent_sample float16 [1, 4, 4, 6]"])
      #expect(described(model.outputs) == ["sample float16 [1, 3, 32, 48]"])
      #expect(model.operatorCounts["Shape"] == nil)
    }
    options.vaeInSinglePrecision = true
    try export(vae.graph(.vaeDecoder), of: vae, options) { folder, report in
      let model = try model(folder)
      #expect(model.inputs[0].element == .float32)
      #expect(report.networks[0].precision == .f32)
    }
  }

  /// A graph of two linear layers.
  private func layers() throws -> Graph {
    var builder = GraphBuilder(name: GraphName(rawValue: "two"))
    let x = builder.input("x", [.symbol(.batch), 2])
    let y = try builder.linear(x, Path(name: "one"), to: 2, bias: false)
    builder.output("y", try builder.linear(y, Path(name: "two"), to: 1))
    return builder.graph
  }

  private func tensor(_ name: String, _ values: [Float], _ shape: Shape) -> Tensor {
    Tensor(
      name: name, dtype: .float32, shape: shape,
      storage: .memory(values.flatMap { withUnsafeBytes(of: $0) { Array($0) } }))
  }

  /// Each parameter is asked for once, in order, when the one before it is on its way to the file.
  @Test func parametersAreReadOneByOne() throws {
    try withTemporaryFolder { folder in
      var asked: [String] = []
      var done: [Int] = []
      _ = try ONNXExporter.export(
        layers(),
        parameters: { name in
          asked.append("\(name) after \(done.last ?? 0)")
          return switch name {
          case "one.weight": tensor("ours", [1, 2, 3, 4], [2, 2])
          case "two.weight": tensor("ours", [5, 6], [1, 2])
          default: tensor("ours", [7], [1])
          }
        }, to: folder
      ) { progress in
        done.append(progress.bytesDone)
        #expect(progress.bytesTotal == 8_196 && progress.network.rawValue == "two")
      }
      #expect(
        asked == ["one.weight after 0", "two.weight after 16", "two.bias after 4104"])
      #expect(done == [16, 4_104, 8_196])
      let data = try Data(contentsOf: URL(filePath: "\(folder)/model.onnx_data"))
      let floats = data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
      #expect(Array(floats[..<4]) == [1, 2, 3, 4])
      #expect(Array(floats[1024..<1026]) == [5, 6] && floats[2048] == 7)
      #expect(
        try model(folder).initializers.filter {
          if case .external = $0.contents { true } else { false }
        }.map(\.name) == ["one.weight", "two.weight", "two.bias"])
    }
  }

  /// A parameter that is missing, of another shape, too large for F16; a file that is there.
  @Test(arguments: ["missing", "shape", "type", "range", "file"])
  func aFailureLeavesNothing(kind: String) throws {
    try withTemporaryFolder { folder in
      let out = kind == "file" ? folder : "\(folder)/out"
      if kind == "file" { try Data("a".utf8).write(to: URL(filePath: "\(out)/model.onnx")) }
      var options = ExportOptions()
      options.precision = .f16
      do {
        _ = try ONNXExporter.export(
          layers(),
          parameters: { name throws(FormatError) in
            if name == "two.bias" { return tensor(name, [0], [1]) }
            if name == "one.weight" { return tensor(name, [0, 0, 0, 0], [2, 2]) }
            switch kind {
            case "missing": throw FormatError(.mismatch, "the tensor is missing", context: name)
            case "shape": return tensor(name, [1, 2], [2, 1])
            case "type":
              return Tensor(
                name: name, dtype: .int8, shape: [1, 2], storage: .memory([1, 2]))
            default: return tensor(name, [1, 70_000], [1, 2])
            }
          }, to: out, options: options)
        Issue.record("nothing was thrown")
      } catch let error as FormatError {
        #expect(error.code == (kind == "file" ? .cannotCreate : .mismatch))
        if kind != "file" { #expect(error.context == "two.weight") }
      }
      #expect(files(folder) == (kind == "file" ? ["model.onnx"] : []))
    }
  }

  @Test func saturatedValuesAreReported() throws {
    try withTemporaryFolder { folder in
      var options = ExportOptions()
      options.precision = .f16
      options.saturate = true
      let report = try ONNXExporter.export(
        layers(),
        parameters: { name in
          switch name {
          case "one.weight": tensor("x", [1, 70_000, -1e9, 4], [2, 2])
          case "two.weight": tensor("x", [5, 6], [1, 2])
          default: tensor("x", [7], [1])
          }
        }, to: folder, options: options)
      #expect(report.networks[0].saturated.map(\.name) == ["one.weight"])
      #expect(report.networks[0].saturated.map(\.count) == [2])
    }
  }
}
