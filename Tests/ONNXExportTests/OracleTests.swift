import Foundation
import ONNXExport
import TestSupport
import Testing

/// onnx's checker and shape inference, and ONNX Runtime against the goldens of the reference.
///
/// Skipped where no Python with numpy, onnx, onnxruntime and safetensors is named by SDKIT_PYTHON
/// or lies in the project's `.venv`.
@Suite(.enabled(if: Tool.python != nil, "no Python with onnx: set SDKIT_PYTHON or make .venv"))
struct OracleTests {
  private func check(_ directory: String) throws {
    let python = try #require(Tool.python)
    let result = try Tool.launch(
      python,
      [
        Fixtures.path("../Tests/ONNXExportTests/Oracle/check_onnx.py"), directory, "--golden",
        Fixtures.path("shapes-v1/golden"), "--shapes",
      ])
    #expect(result.status == 0, "\(result.output)\(result.errors)")
    #expect(result.output.contains("ok   4 models"))
  }

  @Test(arguments: Opset.allCases, ExportOptions.TimestepShape.allCases)
  func copiedWeightsGiveTheReferencesNumbers(
    opset: Opset, timestep: ExportOptions.TimestepShape
  ) throws {
    try withTemporaryFolder { folder in
      var options = ExportOptions()
      options.opset = opset
      options.timestep = timestep
      _ = try ONNXExporter.export(
        sources(Fixtures.path("shapes-v1")), to: folder, options: options)
      try check(folder)
    }
  }

  @Test func linkedWeightsGiveTheReferencesNumbers() throws {
    try withTemporaryFolder { folder in
      let repository = "\(folder)/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v1"), toPath: repository)
      var options = ExportOptions()
      options.weights = .link
      _ = try ONNXExporter.export(sources(repository), to: repository, options: options)
      try check(repository)
    }
  }
}
