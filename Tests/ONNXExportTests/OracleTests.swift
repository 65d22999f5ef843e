import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

/// onnx's checker and shape inference, and ONNX Runtime against the goldens of the reference.
///
/// `make check-onnx` runs more of the same.
@Suite(.python("onnx", "onnxruntime", "safetensors"))
struct OracleTests {
  private func check(_ directory: String, models: Int = 4) throws {
    let python = try #require(Tool.python)
    let result = try Tool.launch(
      python,
      [
        Fixtures.path("../Tests/ONNXExportTests/Oracle/check_onnx.py"), directory, "--golden",
        Fixtures.path("shapes-v2/golden"), "--shapes",
      ])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
    #expect(result.output.contains("ok   \(models) models"))
  }

  private func checkCopies(
    _ networks: [GraphName] = Published.names, _ change: (inout ExportOptions) -> Void
  ) throws {
    try withTemporaryFolder { folder in
      var options = ExportOptions()
      change(&options)
      _ = try ONNXExporter.export(
        sources(Fixtures.path("shapes-v2"), networks), to: folder, options: options)
      try check(folder, models: networks.count)
    }
  }

  @Test(arguments: Opset.allCases, ExportOptions.Precision.allCases)
  func copiedWeightsGiveTheReferencesNumbers(
    opset: Opset, precision: ExportOptions.Precision
  ) throws {
    try checkCopies {
      $0.opset = opset
      $0.precision = precision
    }
  }

  @Test(arguments: ExportOptions.TimestepShape.allCases)
  func timestepsOfEveryShape(timestep: ExportOptions.TimestepShape) throws {
    try checkCopies([.unet]) { $0.timestep = timestep }
  }

  @Test(arguments: [(NameConvention.nvidia, Published.names), (.comfy, [.unet])])
  func namesOfEveryConvention(names: NameConvention, networks: [GraphName]) throws {
    try checkCopies(networks) { $0.names = names }
  }

  /// The residuals of a ControlNet reach the skip connections and the middle.
  @Test func residualsGiveTheReferencesNumbers() throws {
    try withTemporaryFolder { folder in
      let checkpoint = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
      let unet = try checkpoint.require(.unet)
      let source = NetworkSource(
        graph: try unet.graphWithResidualInputs(), configuration: nil
      ) { parameter throws(FormatError) in try unet.tensor(for: parameter) }
      _ = try ONNXExporter.export([source], to: folder)
      try check(folder, models: 1)
    }
  }

  /// The sizes of the goldens, square and wide, and odd ones for the shapes alone.
  @Test(arguments: [Sizes(batch: 2, height: 16, width: 16), Sizes(height: 16, width: 24)])
  func fixedSizes(sizes: Sizes) throws {
    let networks = sizes.width == 16 ? Published.names : [.textEncoder, .unet]
    try checkCopies(networks) {
      $0.sizes = sizes
      $0.opset = .v17
    }
  }

  @Test(arguments: ExportOptions.Precision.allCases)
  func linkedWeightsGiveTheReferencesNumbers(precision: ExportOptions.Precision) throws {
    try withTemporaryFolder { folder in
      let repository = "\(folder)/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: repository)
      var options = ExportOptions()
      options.weights = .link
      options.precision = precision
      _ = try ONNXExporter.export(sources(repository), to: repository, options: options)
      try check(repository)
    }
  }
}
