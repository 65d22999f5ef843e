import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import Report
import TestSupport
import Testing

/// The page in a real browser: Browser/checks.py works its controls through the DevTools protocol.
@Suite(.serialized) struct BrowserTests {
  @Test(
    .enabled(
      if: BrowserTests.browser != nil,
      "no Chromium (apt-get install chromium, or SDLOOM_BROWSER)"),
    .anyPython)
  func rendersAndItsControlsWork() throws {
    let python = try #require(Tool.anyPython)
    try withTemporaryFolder { folder in
      let model = try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
      let statistics = try model.statistics()
      _ = try Report(model, sizes: Sizes(of: model), statistics: statistics).page.write(
        to: folder + "/model.html", overwrite: false)
      let attacks = HostileNames.all
      try writeTensors(attacks, to: folder + "/hostile.safetensors")
      try writePage(of: folder + "/hostile.safetensors", to: folder + "/hostile.html")
      try writeTensors(BrowserTests.lora, to: folder + "/lora.safetensors")
      try writePage(of: folder + "/lora.safetensors", to: folder + "/lora.html")
      try truth(model, statistics).text().write(
        toFile: folder + "/model.json", atomically: true, encoding: .utf8)
      let run = try Tool.launch(
        python, [Fixtures.root + "/Tests/ReportTests/Browser/checks.py", folder])
      #expect(run.status == 0, "\(run.output)\(run.errors)")
      #expect(
        run.output.split(separator: "\n").count { $0.hasPrefix("ok ") } >= 20, "\(run.output)")
    }
  }

  /// The facts about the bundled model, from its golden counts and its tensors.
  private func truth(
    _ model: ModelCheckpoint, _ statistics: [[TensorStatistics?]]
  ) throws -> JSON {
    let golden = try JSON(parsing: Fixtures.text("shapes-v2/golden/summary.json"))
    var tensors: [JSON] = []
    for (component, statistics) in zip(model.components, statistics) {
      for (tensor, statistics) in zip(component.tensors, statistics) {
        tensors.append([
          "name": .string(tensor.name), "component": .string(component.name.rawValue),
          "dtype": .string(tensor.dtype.rawValue),
          "shape": .array(tensor.shape.dimensions.map { .integer($0) }),
          "parameters": .integer(tensor.elementCount), "bytes": .integer(tensor.byteCount),
          "min": .number(statistics?.minimum ?? 0), "max": .number(statistics?.maximum ?? 0),
          "zeros": .integer(statistics?.zeros ?? 0),
        ])
      }
    }
    let graphs = model.components.flatMap(\.graphs)
    let unet = try #require(graphs.first { $0.name == .unet })
    return [
      "parameters": .integer(10_197_579), "components": golden["parameters"] ?? .null,
      "tensors": .array(tensors),
      "networks": .array(
        graphs.map { ["name": .string($0.name.rawValue), "nodes": .integer($0.nodes.count)] }),
      "concatenations": .integer(unet.nodes.count { $0.operation == .concatenate }),
      "hostile": .array(HostileNames.all.map { .string($0) }),
    ]
  }

  private func writePage(of path: String, to page: String) throws {
    let checkpoint = try ModelCheckpoint.open(path)
    let report = Report(
      checkpoint, sizes: Sizes(of: checkpoint), statistics: try checkpoint.statistics())
    _ = try report.page.write(to: page, overwrite: false)
  }

  private static let lora = (0..<8).flatMap { block in
    ["to_q", "to_k", "to_v", "to_out.0"].flatMap { layer in
      ["down", "up"].map { "unet.down_blocks.\(block).attn1.processor.\(layer)_lora.\($0).weight" }
    }
  }

  private static let browser: String? = {
    let paths = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    return ProcessInfo.processInfo.environment["SDLOOM_BROWSER"]
      ?? names.lazy.flatMap { name in paths.map { "\($0)/\(name)" } }
      .first(where: FileManager.default.isExecutableFile)
  }()
}

/// Names that would be harmful in a page that trusts them.
enum HostileNames {
  static let all = [
    "", "</script><script>window.attacked = 1</script>", "<!--<script>", "]]>", "\u{2028}\u{2029}",
    "<img src=x onerror='window.attacked = 1'>", "__proto__", "constructor", "toString.weight",
    "\"};window.attacked=1;//", "${window.attacked=1}", "a\u{0}b", "\\u003c/script>",
    "x\u{202E}y", "&lt;b&gt;", "javascript:window.attacked=1", ".", "..", "\n", "🦊.weight",
    String(repeating: "very_long_name.", count: 60),
  ]
}

/// Writes a safetensors file of small F32 tensors of those names.
func writeTensors(_ names: [String], to path: String) throws {
  var header = JSONObject()
  for (position, name) in names.enumerated() {
    header[name] = [
      "dtype": "F32", "shape": [2, 2],
      "data_offsets": [.integer(16 * position), .integer(16 * position + 16)],
    ]
  }
  let text = Array(JSON.object(header).text(.compact).utf8)
  var bytes = withUnsafeBytes(of: UInt64(text.count).littleEndian) { [UInt8]($0) } + text
  for position in names.indices {
    for value in 0..<4 {
      let number = Float(value) / 4 - Float(position) / 64
      bytes += withUnsafeBytes(of: number.bitPattern.littleEndian) { [UInt8]($0) }
    }
  }
  try Data(bytes).write(to: URL(filePath: path))
}

extension ModelCheckpoint {
  /// Of all tensors, with histograms.
  func statistics() throws -> [[TensorStatistics?]] {
    try components.map { try TensorStatistics.of($0.tensors, histograms: true) }
  }
}
