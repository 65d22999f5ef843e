import Engine
import Foundation
import ModelFormats
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// Execution providers: those built in, plug-ins, and the errors about them.
  @Suite(.onnxRuntime) struct RuntimeProviderTests {
    private static func error(
      _ options: ONNXRuntimeOptions, in folder: String
    ) throws -> EngineError {
      try #require(throws: EngineError.self) {
        _ = try ExportedNetworks.network(.vaeDecoder, in: folder, options)
      }
    }

    @Test func theCPUIsListed() throws {
      let runtime = try ExportedNetworks.runtime()
      #expect(runtime.version.split(separator: ".").count >= 2)
      #expect(FileManager.default.fileExists(atPath: runtime.path))
      let provider = try #require(
        runtime.providers().first { $0.name == "CPUExecutionProvider" })
      #expect(provider.shortName == "cpu")
      #expect(!provider.isPlugin && provider.libraryPath == nil)
      #expect(provider.devices.map(\.kind) == [.cpu])
    }

    @Test func isLoadedOnce() throws {
      let runtime = try ExportedNetworks.runtime()
      #expect(try ONNXRuntime.load(from: Fixtures.onnxRuntime) === runtime)
      #expect(try ONNXRuntime.load(from: runtime.path) === runtime)
    }

    @Test func unknownProviders() throws {
      try ExportedNetworks.with([.vaeDecoder]) { folder in
        let unknown = try Self.error(ONNXRuntimeOptions(provider: "abacus"), in: folder)
        #expect(unknown.code == .missing)
        #expect(unknown.description.contains("execution provider abacus: not found"))
        #expect(unknown.message.contains("cpu"))
        let plugin = try Self.error(
          ONNXRuntimeOptions(provider: "/nowhere/onnxruntime_ep_webgpu/lib.so"), in: folder)
        #expect(plugin.code == .missing)
        #expect(plugin.message == "No such file or directory")
        #expect(plugin.hint?.parts.contains(.pythonPackage("onnxruntime-ep-webgpu")) == true)
        let kind = try Self.error(ONNXRuntimeOptions(provider: "cpu:tpu"), in: folder)
        #expect(kind.code == .unsupported)
        #expect(kind.hint?.description == "use cpu, gpu or npu")
        let device = try Self.error(ONNXRuntimeOptions(provider: "cpu:npu"), in: folder)
        #expect(device.message == "it found no NPU device that it can use")
      }
    }

    /// A text file, and a library that is no plug-in.
    @Test func brokenPlugins() throws {
      let runtime = try ExportedNetworks.runtime()
      try withTemporaryFolder { folder in
        let text = "\(folder)/libonnxruntime_providers_text.so"
        try "text".write(toFile: text, atomically: true, encoding: .utf8)
        for path in [text, runtime.path] {
          let error = try #require(throws: EngineError.self) { try runtime.registerPlugin(path) }
          #expect(error.code == .missing)
          #expect(error.context == "execution provider \(path)")
          #expect(!error.message.contains("\n") && !error.message.contains(".cc:"), "\(error)")
          #expect(!runtime.providers().contains { $0.libraryPath == path })
        }
      }
    }

    @Test(.plugin("onnxruntime_ep_openvino", package: "onnxruntime-ep-openvino"))
    func openVINO() throws {
      let (inputs, outputs) = try ExportedNetworks.reference(.unet)
      let expected = try #require(outputs["out_sample"])
      try ExportedNetworks.with([.unet]) { folder in
        let path = try #require(Fixtures.plugin("onnxruntime_ep_openvino"))
        let unet = try ExportedNetworks.network(
          .unet, in: folder, ONNXRuntimeOptions(provider: "openvino"))
        #expect(unet.provider.name == "OpenVINOExecutionProvider")
        #expect(unet.provider.isPlugin)
        #expect(
          unet.provider.libraryPath == URL(filePath: path).resolvingSymlinksInPath().path)
        // float32 is float32, also on a CPU with bfloat16 instructions.
        for _ in 0..<2 {
          try #expect(relativeError(unet.run(inputs)["out_sample"], expected) < 1e-5)
        }
        // By path, and by full name.
        for name in [path, "OpenVINOExecutionProvider", "openvino:cpu"] {
          let other = try ExportedNetworks.network(
            .unet, in: folder, ONNXRuntimeOptions(provider: name))
          #expect(other.provider == unet.provider)
        }
      }
    }

    /// bfloat16 is bfloat16 if the device has it, and an error otherwise.
    @Test(.plugin("onnxruntime_ep_openvino", package: "onnxruntime-ep-openvino"))
    func openVINOInBF16() throws {
      let (inputs, outputs) = try ExportedNetworks.reference(.unet)
      let expected = try #require(outputs["out_sample"])
      let options = ONNXRuntimeOptions(provider: "openvino", precision: .bf16)
      try ExportedNetworks.with([.unet]) { folder in
        if Precision.isBF16Native {
          let unet = try ExportedNetworks.network(.unet, in: folder, options)
          let error = try relativeError(unet.run(inputs)["out_sample"], expected)
          #expect(error > 1e-4 && error < 0.02, "\(error)")
        } else {
          let error = try #require(throws: EngineError.self) {
            _ = try ExportedNetworks.network(.unet, in: folder, options)
          }
          #expect(error.code == .unsupported)
        }
      }
    }

    /// Compiled engines are kept in the folder, which must be writable.
    @Test(.plugin("onnxruntime_ep_openvino", package: "onnxruntime-ep-openvino"))
    func engineCache() throws {
      try ExportedNetworks.with([.vaeDecoder]) { folder in
        let cache = "\(folder)/engines"
        var options = ONNXRuntimeOptions(provider: "openvino", engineCache: cache)
        for _ in 0..<2 {
          _ = try ExportedNetworks.network(.vaeDecoder, in: folder, options)
          let files = try FileManager.default.contentsOfDirectory(atPath: cache)
          #expect(!files.isEmpty)
        }
        options.engineCache = "\(folder)/vae_decoder/model.onnx/engines"
        let error = try Self.error(options, in: folder)
        #expect(error.code == .cache)
        #expect(error.message == "cannot create \(options.engineCache ?? ""): Not a directory")
      }
    }

    /// WebGPU needs a GPU with Vulkan; without one the error says so.
    @Test(.plugin("onnxruntime_ep_webgpu", package: "onnxruntime-ep-webgpu"))
    func webGPU() throws {
      let (inputs, outputs) = try ExportedNetworks.reference(.unet)
      let expected = try #require(outputs["out_sample"])
      let options = ONNXRuntimeOptions(provider: "webgpu")
      try ExportedNetworks.with([.unet]) { folder in
        let runtime = try ExportedNetworks.runtime()
        try runtime.registerPlugin(#require(Fixtures.plugin("onnxruntime_ep_webgpu")))
        let provider = try #require(runtime.providers().first { $0.shortName == "webgpu" })
        #expect(provider.isPlugin)
        if provider.devices.isEmpty {
          let error = try #require(throws: EngineError.self) {
            _ = try ExportedNetworks.network(.unet, in: folder, options)
          }
          #expect(error.code == .unsupported)
          #expect(
            error.description
              == "execution provider webgpu: it found no device that it can use")
        } else {
          let unet = try ExportedNetworks.network(.unet, in: folder, options)
          try #expect(relativeError(unet.run(inputs)["out_sample"], expected) < 1e-3)
        }
      }
    }
  }
}
