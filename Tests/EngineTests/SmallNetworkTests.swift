import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// Distilled UNets, a latent consistency model's, and an autoencoder of 16 channels against
  /// diffusers: `Fixtures/networks/make.py` made them and computed in float32 from the same weights.
  struct SmallNetworkTests {
    static let golden = Result { try Golden(path: Fixtures.path("networks/expected.safetensors")) }

    static func executable(
      _ folder: String, _ name: ComponentName, _ graph: GraphName, sizes: Sizes,
      precision: Precision = .f32
    ) throws -> Executable {
      let checkpoint = try ModelCheckpoint.open(Fixtures.path("networks/\(folder)"))
      let component = try checkpoint.require(name)
      try component.requireComplete()
      return try Executable(
        graph: component.graph(graph), parameters: component.tensor(named:),
        options: EngineOptions(precision: precision), sizes: sizes)
    }

    static func inputs() throws -> [String: Value] {
      let golden = try golden.get()
      return [
        "sample": try golden.value("sample"), "encoder_hidden_states": try golden.value("states"),
        "timestep": Value([321], shape: [1]),
      ]
    }

    static let sizes = Sizes(batch: 2, height: 16, width: 24, sequence: 20)

    @Test(arguments: InstructionSet.available, ["distilled", "mixed"])
    func unet(_ isa: InstructionSet, _ name: String) throws {
      try isa.using {
        let unet = try Self.executable(name, .unet, .unet, sizes: Self.sizes)
        let output = try unet.run(Self.inputs())["out_sample"]
        let error = try relativeError(output, Self.golden.get().value(name))
        #expect(error < 1e-5, "\(error)")
      }
    }

    @Test(arguments: InstructionSet.available, ["1.0", "7.5", "8.1"])
    func guidance(_ isa: InstructionSet, _ scale: String) throws {
      try isa.using {
        let unet = try Self.executable("lcm", .unet, .unet, sizes: Self.sizes)
        var inputs = try Self.inputs()
        inputs["timestep_cond"] = try Self.golden.get().value("guidance.\(scale)")
        let output = try unet.run(inputs)["out_sample"]
        let error = try relativeError(output, Self.golden.get().value("lcm.\(scale)"))
        #expect(error < 1e-5, "\(error)")
      }
    }

    /// Values computed from the timestep and the guidance stay in float32.
    @Test(.enabled(if: Precision.isBF16Native, "this CPU has no bfloat16 instructions"))
    func bf16() throws {
      let unet = try Self.executable("lcm", .unet, .unet, sizes: Self.sizes, precision: .bf16)
      var inputs = try Self.inputs()
      inputs["timestep_cond"] = try Self.golden.get().value("guidance.7.5")
      let output = try unet.run(inputs)["out_sample"]
      try #expect(relativeError(output, Self.golden.get().value("lcm.7.5")) < 0.02)
    }

    @Test func autoencoder() throws {
      let golden = try Self.golden.get()
      let sizes = Sizes(batch: 1, height: 5, width: 7)
      let decoder = try Self.executable("vae16", .vae, .vaeDecoder, sizes: sizes)
      let image = try decoder.run(["latent_sample": golden.value("vae16.latents")])["sample"]
      try #expect(relativeError(image, golden.value("vae16.image")) < 1e-5)
      let encoder = try Self.executable("vae16", .vae, .vaeEncoder, sizes: sizes)
      let moments = try encoder.run(["sample": golden.value("vae16.picture")])["latent_parameters"]
      try #expect(relativeError(moments, golden.value("vae16.moments")) < 1e-5)
    }
  }
}
