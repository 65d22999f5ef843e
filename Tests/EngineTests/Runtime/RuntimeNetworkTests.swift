import Engine
import Foundation
import ModelFormats
import ModelGraph
import ONNXExport
import TestSupport
import Testing

extension EngineTests {
  /// Networks on ONNX Runtime's CPU provider against our own engine, which others compare with
  /// diffusers.
  @Suite(.onnxRuntime) struct RuntimeNetworkTests {
    private static let states = "encoder_hidden_states"

    @Test(arguments: [GraphName.textEncoder, .unet, .vaeDecoder, .vaeEncoder])
    func sameNumbers(_ name: GraphName) throws {
      let (inputs, outputs) = try ExportedNetworks.reference(name)
      try ExportedNetworks.with([name]) { folder in
        let network = try ExportedNetworks.network(name, in: folder)
        #expect(network.name == name.rawValue)
        #expect(Set(network.inputNames) == Set(inputs.keys))
        #expect(network.provider.name == "CPUExecutionProvider")
        var shared = 0
        // The first run learns the shapes of the outputs, the second has memory for them.
        for _ in 0..<2 {
          let results = try network.run(inputs)
          #expect(Set(results.keys) == Set(network.outputNames))
          shared = 0
          for (name, value) in outputs {
            guard let result = results[name] else { continue }
            shared += 1
            #expect(relativeError(result, value) < 1e-5, "\(name)")
          }
        }
        #expect(shared > 0)
      }
    }

    /// The same session runs every size, and returns to one it ran before.
    @Test func severalSizes() throws {
      let golden = try Golden(path: Fixtures.path("engine/odd-sizes.safetensors"))
      let first = try ExportedNetworks.reference(.unet)
      let out = try #require(first.outputs["out_sample"])
      try ExportedNetworks.with([.unet]) { folder in
        let unet = try ExportedNetworks.network(.unet, in: folder)
        let odd = try [
          "sample": golden.value("sample"), Self.states: golden.value("states"),
          "timestep": Value([700], shape: [1]),
        ]
        for _ in 0..<2 {
          let output = try unet.run(first.inputs)["out_sample"]
          #expect(relativeError(output, out) < 1e-5)
          try #expect(
            relativeError(unet.run(odd)["out_sample"], golden.value("out_700")) < 1e-5)
        }
      }
    }

    /// float16 models take and give float32 outside.
    @Test func halfPrecisionModels() throws {
      let (inputs, outputs) = try ExportedNetworks.reference(.unet)
      let out = try #require(outputs["out_sample"])
      var options = ExportOptions()
      options.precision = .f16
      try ExportedNetworks.with([.unet], options) { folder in
        let unet = try ExportedNetworks.network(.unet, in: folder)
        let error = try relativeError(
          unet.run(inputs)["out_sample"], out)
        #expect(error > 1e-5 && error < 5e-3, "\(error)")
      }
    }

    /// The timestep is a scalar, a vector of one element or one per picture, as the model says.
    @Test(arguments: [ExportOptions.TimestepShape.scalar, .vector, .batch])
    func timesteps(shape: ExportOptions.TimestepShape) throws {
      let (inputs, outputs) = try ExportedNetworks.reference(.unet)
      let out = try #require(outputs["out_sample"])
      var options = ExportOptions()
      options.timestep = shape
      try ExportedNetworks.with([.unet], options) { folder in
        let unet = try ExportedNetworks.network(.unet, in: folder)
        try #expect(
          relativeError(unet.run(inputs)["out_sample"], out) < 1e-5)
      }
    }

    @Test func fixedSizes() throws {
      let (inputs, outputs) = try ExportedNetworks.reference(.unet)
      let out = try #require(outputs["out_sample"])
      var options = ExportOptions()
      options.sizes = ExecutableTests.sizes
      try ExportedNetworks.with([.unet], options) { folder in
        let unet = try ExportedNetworks.network(.unet, in: folder)
        for _ in 0..<2 {
          try #expect(
            relativeError(unet.run(inputs)["out_sample"], out) < 1e-5)
        }
        var other = inputs
        other["sample"] = Value([Float](repeating: 0, count: 2 * 4 * 8 * 8), shape: [2, 4, 8, 8])
        let error = try #require(throws: EngineError.self) { _ = try unet.run(other) }
        #expect(error.code == .input)
        #expect(
          error.description
            == "unet: sample: the input's shape is [2, 4, 8, 8], not [2, 4, 16, 16]")
      }
    }

    /// An input that is declared unchanged is not read, until a run fails.
    @Test func constantInputsStay() throws {
      let (first, outputs) = try ExportedNetworks.reference(.unet)
      let out = try #require(outputs["out_sample"])
      var second = first
      let states = try #require(first[Self.states])
      second[Self.states] = Value(states.reals.map { -$0 }, shape: states.shape)
      try ExportedNetworks.with([.unet]) { folder in
        let unet = try ExportedNetworks.network(.unet, in: folder)
        let ofFirst = try unet.run(first, inputVersions: [Self.states: 1])
        #expect(relativeError(ofFirst["out_sample"], out) < 1e-5)
        try #expect(unet.run(second, inputVersions: [Self.states: 1]) == ofFirst)
        let ofSecond = try unet.run(second, inputVersions: [Self.states: 2])
        #expect(ofSecond != ofFirst)
        try #expect(unet.run(first) == ofFirst)
        try #expect(unet.run(second, inputVersions: [Self.states: 2]) == ofSecond)
        var broken = first
        broken["timestep"] = Value([1, 2, 3], shape: [3])
        #expect(throws: EngineError.self) {
          _ = try unet.run(broken, inputVersions: [Self.states: 2])
        }
        try #expect(unet.run(first, inputVersions: [Self.states: 3]) == ofFirst)
      }
    }

    @Test func inputErrors() throws {
      let (inputs, _) = try ExportedNetworks.reference(.unet)
      try ExportedNetworks.with([.unet]) { folder in
        let unet = try ExportedNetworks.network(.unet, in: folder)
        func problem(_ change: (inout [String: Value]) -> Void) throws -> String {
          var changed = inputs
          change(&changed)
          let error = try #require(throws: EngineError.self) { _ = try unet.run(changed) }
          #expect(error.code == .input)
          return error.description
        }
        try #expect(problem { $0["timestep"] = nil } == "unet: timestep: the input is missing")
        try #expect(
          problem { $0["mid_block_residual"] = Value([0], shape: [1]) }
            == "unet: mid_block_residual: the model has no such input")
        try #expect(
          problem { $0["sample"] = Value([Float](repeating: 0, count: 8), shape: [2, 4]) }
            == "unet: sample: the input's shape is [2, 4], not [batch_size, 4, height, width]")
        // Two pictures, but a prompt for three.
        let text = try problem {
          $0[Self.states] = Value([Float](repeating: 0, count: 3 * 77 * 64), shape: [3, 77, 64])
        }
        #expect(text.contains("encoder_hidden_states: the input's shape is [3, 77, 64], not"))
      }
    }

    @Test func timingsAreOneStep() throws {
      let (inputs, _) = try ExportedNetworks.reference(.vaeDecoder)
      try ExportedNetworks.with([.vaeDecoder]) { folder in
        let decoder = try ExportedNetworks.network(.vaeDecoder, in: folder)
        var steps: [StepTiming] = []
        _ = try decoder.run(inputs) { steps.append($0) }
        #expect(steps.count == 1)
        #expect(steps.first?.name == "vae_decoder")
        #expect(steps.first?.kind == "onnxruntime")
        #expect(steps.first?.implementation == "cpu")
        #expect((steps.first?.seconds ?? 0) > 0)
      }
    }

    @Test func bfloat16IsRejected() throws {
      try ExportedNetworks.with([.vaeDecoder]) { folder in
        let error = try #require(throws: EngineError.self) {
          _ = try ExportedNetworks.network(
            .vaeDecoder, in: folder, ONNXRuntimeOptions(precision: .bf16))
        }
        #expect(error.code == .unsupported)
        #expect(error.hint?.mentions(.dtype, "f32") == true)
      }
    }

    @Test func damagedModels() throws {
      try ExportedNetworks.with([.vaeDecoder]) { folder in
        let missing = try #require(throws: EngineError.self) {
          _ = try ExportedNetworks.network(.unet, in: folder)
        }
        #expect(missing.code == .model)
        #expect(missing.message == "\(folder)/unet/model.onnx: No such file or directory")

        let path = "\(folder)/vae_decoder/model.onnx"
        try "no model".write(toFile: path, atomically: true, encoding: .utf8)
        let damaged = try #require(throws: EngineError.self) {
          _ = try ExportedNetworks.network(.vaeDecoder, in: folder)
        }
        #expect(damaged.code == .model, "\(damaged)")
        #expect(damaged.context == "vae_decoder")
        #expect(!damaged.message.contains("\n") && !damaged.message.contains(".cc"), "\(damaged)")
      }
    }

    /// An operator of no provider.
    @Test func unknownOperators() throws {
      try ExportedNetworks.with([.vaeDecoder]) { folder in
        let path = "\(folder)/vae_decoder/model.onnx"
        var bytes = try Data(contentsOf: URL(filePath: path))
        let name = Array("Conv".utf8)
        var found = 0
        for index in bytes.indices.dropLast(4) where Array(bytes[index..<index + 4]) == name {
          // The operator's name, not part of another.
          guard bytes[index - 1] == 4, bytes[index - 2] == 0x22 else { continue }
          bytes.replaceSubrange(index..<index + 4, with: "Conw".utf8)
          found += 1
        }
        #expect(found > 0)
        try bytes.write(to: URL(filePath: path))
        let error = try #require(throws: EngineError.self) {
          _ = try ExportedNetworks.network(.vaeDecoder, in: folder)
        }
        #expect(error.code == .unsupported || error.code == .library, "\(error)")
        #expect(error.message.contains("Conw"), "\(error)")
      }
    }
  }
}
