import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import TestSupport
import Testing

/// Models that compute in F16.
@Suite struct PrecisionTests {
  private static let floats: Set<ONNXModel.Element> = [.float32, .float16]

  private func half(_ opset: Opset = .v21) -> ExportOptions {
    var options = ExportOptions()
    options.opset = opset
    options.precision = .f16
    return options
  }

  /// The type of every value of a model.
  private func types(_ model: ONNXModel) -> [String: ONNXModel.Element] {
    var types: [String: ONNXModel.Element] = [:]
    for value in model.inputs + model.values + model.outputs { types[value.name] = value.element }
    for weight in model.initializers { types[weight.name] = weight.element }
    return types
  }

  /// TensorRT 11 rejects a node that is given two types; only a Resize's scales are always F32.
  @Test(
    arguments: Published.names, Opset.allCases)
  func everyNodeComputesInOneType(name: GraphName, opset: Opset) throws {
    for element in [ONNXModel.Element.float32, .float16, .bfloat16] {
      let model = try Published.model(name, half(opset), element: element)
      let types = types(model)
      for node in model.nodes where node.operatorType != "Cast" {
        let inputs = node.operatorType == "Resize" ? Array(node.inputs[..<1]) : node.inputs
        let values = (inputs + node.outputs).compactMap { types[$0] }
        #expect(Set(values).intersection(Self.floats).count <= 1, "\(node.name)")
        #expect(!values.contains(.bfloat16), "\(node.name)")
      }
      // As many casts as there are weights of another type, and one for the timestep.
      let weights = model.initializers.filter { weight in
        if case .external = weight.contents { weight.element != .float16 } else { false }
      }
      let casts = model.nodes.filter { node in
        node.operatorType == "Cast" && types[node.outputs[0]] == .float16
      }
      #expect(casts.count == weights.count + (name == .unet ? 1 : 0))
    }
  }

  @Test func inputsAndOutputsAreHalfPrecisionButTheTimestep() throws {
    let model = try Published.model(.unet, half())
    #expect(model.inputs.map(\.element) == [.float16, .float32, .float16])
    #expect(model.outputs.map(\.element) == [.float16])
    let types = types(model)
    for name in ["Mul", "Sin", "Cos", "Concat"] {
      #expect(types["/time_proj/\(name)_output_0"] == .float32)
    }
    #expect(types["/time_proj/Cast_output_0"] == .float16)
  }

  @Test func theVAEMayStayInSinglePrecision() throws {
    var options = half()
    options.vaeInSinglePrecision = true
    for name in Published.names {
      let model = try Published.model(name, options)
      let expected: ONNXModel.Element =
        [.vaeDecoder, .vaeEncoder].contains(name) ? .float32 : .float16
      #expect(model.outputs.allSatisfy { $0.element == expected })
    }
  }

  /// TensorRT-RTX 1.7.1 builds ONNX's Attention in F16 for the UNet's and CLIP's heads; in F32, and
  /// for the VAE's single head of 512 channels, it does not.
  @Test(arguments: zip(Published.names, [12, 32, 0, 0]))
  func attentionIsUsedWhereThereIsAKernel(name: GraphName, count: Int) throws {
    let model = try Published.model(name, half(.v23), element: .float16)
    #expect(model.operatorCounts["Attention", default: 0] == count)
    for node in model.nodes where node.operatorType == "Attention" {
      let arguments = Dictionary(
        uniqueKeysWithValues: node.attributes.map { ($0.name, $0.argument) })
      #expect(arguments["is_causal"] == .integer(name == .textEncoder ? 1 : 0))
      guard case .float(let scale) = arguments["scale"] else {
        Issue.record("\(node.name) has no scale")
        continue
      }
      // Heads of 40, 80, 160 and 64 channels.
      #expect([40, 80, 160, 64].contains((1 / (scale * scale)).rounded()))
    }
    #expect(model.operatorCounts["Trilu"] == nil)
    for (opset, precision) in [
      (Opset.v21, ExportOptions.Precision.f16), (.v17, .f16), (.v23, .f32),
    ] {
      var options = half(opset)
      options.precision = precision
      #expect(try Published.model(name, options).operatorCounts["Attention"] == nil)
    }
  }

  /// The VAE's F32 group norms are averaged in stages; every other norm is one operator.
  @Test(arguments: Opset.allCases)
  func largeGroupsAreAveragedInStages(opset: Opset) throws {
    var options = ExportOptions()
    options.opset = opset
    let norm = opset == .v17 ? "InstanceNormalization" : "GroupNormalization"
    for (name, norms) in [(GraphName.unet, 61), (.vaeDecoder, 30), (.vaeEncoder, 22)] {
      for precision in ExportOptions.Precision.allCases {
        options.precision = precision
        let counts = try Published.model(
          name, options, element: precision == .f16 ? .float16 : .float32
        ).operatorCounts
        let isStaged = name != .unet && precision == .f32
        #expect(counts[norm, default: 0] == (isStaged ? 0 : norms))
        #expect(counts["ReduceMean", default: 0] == (isStaged ? 4 * norms : 0))
      }
    }
  }

  /// SD 2.1's configuration requires matmuls and softmax in F32; only those are.
  @Test(arguments: Opset.allCases)
  func attentionIsUpcastWhereTheConfigurationSaysSo(opset: Opset) throws {
    var json = try #require(Published.unet.object)
    json["upcast_attention"] = true
    let graph = try UNet.graph(UNetConfiguration(json))
    let model = try Published.model(graph, half(opset), element: .float16)
    #expect(model.operatorCounts["Attention"] == nil)
    let types = types(model)
    for node in model.nodes where node.operatorType == "Softmax" {
      #expect(types[node.inputs[0]] == .float32 && types[node.outputs[0]] == .float32)
    }
    // For each attention the queries, the keys and the weights; and one for the timestep.
    #expect(model.operatorCounts["Cast"] == 32 * 3 + 1)
    #expect(model.outputs.map(\.element) == [.float16])
    let single = try Published.model(graph)
    #expect(single == (try Published.model(.unet)))
  }

  /// The lowest number of the type, which stays finite.
  @Test func theCausalMaskFitsTheType() throws {
    let model = try Published.model(.textEncoder, half(), element: .float16)
    let expand = try #require(model.nodes.first { $0.name == "/causal_mask/Expand" })
    let lowest = try #require(model.initializers.first { $0.name == expand.inputs[0] })
    let bits = (-Float16.greatestFiniteMagnitude).bitPattern
    #expect(lowest.contents == .inline([UInt8(bits & 0xFF), UInt8(bits >> 8)]))
  }

  // MARK: Weights

  /// A linear layer whose weight is `values`.
  private func source(_ values: [Float], _ name: String = "wide") throws -> NetworkSource {
    var builder = GraphBuilder(name: GraphName(rawValue: name))
    let x = builder.input("x", [1, Dimension(values.count)])
    let y = try builder.linear(
      x, Path(name: name, singleFile: name), to: 1, bias: false)
    builder.output("y", y)
    let bytes = values.flatMap { value in
      withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
    return NetworkSource(graph: builder.graph, configuration: nil) { parameter in
      Tensor(
        name: parameter.name, dtype: .float32, shape: Shape(parameter.shape),
        storage: .memory(bytes))
    }
  }

  @Test func valuesWithoutAnF16StopTheExportByName() throws {
    try withTemporaryFolder { folder in
      let sources = try [
        source([1, 65519.996, -1]), source([1, 65520, -1e9], "two"),
        source([.infinity, 0, 0], "x"),
      ]
      // Only the second network has finite values that would become infinite.
      do {
        _ = try ONNXExporter.export(sources, to: "\(folder)/out", options: half())
        Issue.record("nothing was thrown")
      } catch let error as FormatError {
        #expect(error.code == .mismatch)
        #expect(error.context == "two.weight")
        #expect(error.message.contains("2 values of 1 tensor"))
        #expect(error.message.contains("two.weight (2)"))
        #expect(error.hint?.mentions(.saturate) == true)
      }
      #expect(!FileManager.default.fileExists(atPath: "\(folder)/out"))

      var options = half()
      options.saturate = true
      let report = try ONNXExporter.export(sources, to: "\(folder)/out", options: options)
      #expect(report.networks.map(\.saturated.count) == [0, 1, 0])
      #expect(report.networks[1].saturated[0].name == "two.weight")
      #expect(report.networks[1].saturated[0].count == 2)
      let data = try Data(contentsOf: URL(filePath: "\(folder)/out/two/model.onnx_data"))
      let expected: [Float16] = [1, 65504, -65504]
      #expect(
        Array(data)
          == expected.flatMap { [UInt8($0.bitPattern & 0xFF), UInt8($0.bitPattern >> 8)] })
    }
  }

  /// Values that are not read cannot be clamped.
  @Test func linkedWeightsAreNotSaturated() throws {
    try withTemporaryFolder { folder in
      let repository = "\(folder)/model"
      try FileManager.default.copyItem(
        atPath: Fixtures.path("shapes-v2"), toPath: repository)
      var options = half()
      options.weights = .link
      options.saturate = true
      do {
        _ = try ONNXExporter.export(sources(repository), to: repository, options: options)
        Issue.record("nothing was thrown")
      } catch let error as FormatError {
        #expect(error.code == .unsupported)
        #expect(error.hint?.mentions(.placement, "copy") == true)
      }
    }
  }

  /// An F16 checkpoint is linked as it is: no casts of weights, no byte copied.
  @Test func halfPrecisionWeightsAreLinkedAsTheyAre() throws {
    try withTemporaryFolder { folder in
      let repository = "\(folder)/model"
      try FileManager.default.copyItem(
        atPath: Fixtures.path("shapes-v2"), toPath: repository)
      var options = half()
      options.weights = .link
      let report = try ONNXExporter.export(sources(repository), to: repository, options: options)
      #expect(report.networks.allSatisfy { $0.bytesCopied == 0 && $0.precision == .f16 })
      #expect(report.networks.map { $0.operatorCounts["Cast", default: 0] } == [1, 1, 0, 0])
    }
  }
}
