import Foundation
import OrderedJSON
import TestSupport
import Testing

/// `sdgen engines`: what can run networks on this machine.
@Suite struct EnginesTests {
  /// Variables under which nothing is found by itself.
  private static let bare = [
    "SDLOOM_ONNXRUNTIME": "/nowhere", "PATH": "/nowhere", "HOME": "/nowhere", "VIRTUAL_ENV": "",
  ]

  @Test func theNativeEngineIsAlwaysThere() throws {
    let result = try Tool.run("sdgen", ["engines", "--json"], environment: Self.bare)
    #expect(result.status == 0, "\(result.errors)")
    let report = try JSON(parsing: result.output)
    #expect(report["version"]?.int == 1)
    let native = try #require(report["native"])
    #expect(["plain", "avx2", "avx512"].contains(native["instruction_set"]?.string))
    #expect(try #require(native["threads"]?.int) > 0)
    #expect(native["dtypes"]?.array?.first?.string == "f32")
    #expect(report["onnxruntime"] == .null)
    let problem = try #require(report["problem"]?["message"]?.string)
    #expect(problem.contains("/nowhere (SDLOOM_ONNXRUNTIME): No such file or directory"))
    #expect(report["problem"]?["hint"]?.string?.contains("pip install onnxruntime") == true)

    let text = try Tool.run("sdgen", ["engines"], environment: Self.bare)
    #expect(text.status == 0)
    #expect(text.output.hasPrefix("native: "))
    #expect(text.output.contains("onnxruntime: not available: "))
    #expect(text.output.contains("\nhint: "))
  }

  /// One that is asked for must be there.
  @Test func aNamedLibraryMustExist() throws {
    let result = try Tool.run("sdgen", ["engines", "--onnxruntime", "/nowhere", "--json"])
    #expect(result.status == 66)
    #expect(result.output.isEmpty)
    let error = try JSON(parsing: result.errors)["error"]
    #expect(error?["code"]?.string == "engine-missing")
    #expect(
      error?["message"]?.string == "ONNX Runtime: /nowhere: No such file or directory")
    #expect(error?["hint"]?.string?.contains("pip install onnxruntime") == true)
  }

  @Test(.onnxRuntime) func providersAreListed() throws {
    let path = try #require(Fixtures.onnxRuntime)
    let result = try Tool.run("sdgen", ["engines", "--onnxruntime", path, "--json"])
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.errors.isEmpty)
    let report = try JSON(parsing: result.output)
    #expect(report["problem"] == .null)
    let runtime = try #require(report["onnxruntime"])
    #expect(runtime["problems"]?.array?.isEmpty == true)
    #expect(
      FileManager.default.fileExists(atPath: try #require(runtime["path"]?.string)))
    let providers = try #require(runtime["providers"]?.array)
    let cpu = try #require(providers.first { $0["short_name"]?.string == "cpu" })
    #expect(cpu["name"]?.string == "CPUExecutionProvider")
    #expect(cpu["plugin"] == false && cpu["library"] == .null)
    #expect(cpu["devices"]?.array?.first?["type"]?.string == "cpu")
    for (short, folder) in [
      ("openvino", "onnxruntime_ep_openvino"), ("webgpu", "onnxruntime_ep_webgpu"),
    ] where Fixtures.plugin(folder) != nil {
      let plugin = try #require(providers.first { $0["short_name"]?.string == short })
      #expect(plugin["plugin"] == true)
      #expect(plugin["library"]?.string?.contains("/\(folder)/") == true)
    }

    let text = try Tool.run("sdgen", ["engines"], environment: ["SDLOOM_ONNXRUNTIME": path])
    #expect(text.status == 0)
    let version = try #require(runtime["version"]?.string)
    #expect(text.output.contains("onnxruntime: \(version), "))
    #expect(text.output.contains("\ncpu "))
  }
}
