import CKernels
import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import TestSupport
import Testing

extension EngineTests {
  /// The bundled model against diffusers: `Fixtures/shapes-v2/golden` contains what diffusers
  /// computes in float32 from the same weights (versions.json next to it says with which versions).
  struct GoldenTests {
    static let model = Result {
      try ModelCheckpoint.open(Fixtures.path("shapes-v2"))
    }

    /// Every level of instructions that this CPU has must give the reference's numbers.
    static let instructionSets = InstructionSet.available

    static func executable(
      _ component: ComponentName, _ graph: GraphName, sizes: Sizes,
      options: EngineOptions = EngineOptions(),
      changing change: (Graph) throws -> Graph = { $0 }
    ) throws -> Executable {
      let component = try model.get().require(component)
      return try Executable(
        graph: change(component.graph(graph)), parameters: component.tensor(named:),
        options: options, sizes: sizes)
    }

    @Test(arguments: instructionSets)
    func textEncoder(_ isa: InstructionSet) throws {
      try isa.using {
        let golden = try Golden("text")
        let ids = try golden.ids("ids")
        let text = try Self.executable(
          .textEncoder, .textEncoder, sizes: Sizes(batch: 6, sequence: 77))
        let output = try text.run(["input_ids": ids])["last_hidden_state"]
        try #expect(relativeError(output, golden.value("last_hidden_state")) < 1e-5)
      }
    }

    @Test(arguments: instructionSets)
    func unet(_ isa: InstructionSet) throws {
      try isa.using {
        let golden = try Golden("unet")
        let unet = try Self.executable(
          .unet, .unet, sizes: Sizes(batch: 2, height: 16, width: 16, sequence: 77))
        let prompt = try golden.value("encoder_hidden_states")
        for timestep in [981, 500, 321, 1] {
          let output = try unet.run([
            "sample": golden.value("sample"), "encoder_hidden_states": prompt,
            "timestep": Value([Float(timestep)], shape: [1]),
          ])["out_sample"]
          let error = try relativeError(output, golden.value("out_\(timestep)"))
          #expect(error < 1e-5, "timestep \(timestep)")
        }
        let wide = try unet.run([
          "sample": golden.value("wide_sample"), "encoder_hidden_states": prompt.sample(0),
          "timestep": Value([500], shape: [1]),
        ])["out_sample"]
        try #expect(relativeError(wide, golden.value("wide_out_500")) < 1e-5)
      }
    }

    @Test(arguments: instructionSets)
    func vae(_ isa: InstructionSet) throws {
      try isa.using {
        let golden = try Golden("vae")
        let sizes = Sizes(batch: 1, height: 16, width: 16)
        let decoder = try Self.executable(.vae, .vaeDecoder, sizes: sizes)
        let picture = try decoder.run(["latent_sample": golden.value("latent")])["sample"]
        try #expect(relativeError(picture, golden.value("image")) < 1e-5)
        let encoder = try Self.executable(.vae, .vaeEncoder, sizes: sizes)
        let moments = try encoder.run(["sample": golden.value("picture")])["latent_parameters"]
        try #expect(relativeError(moments, golden.value("moments")) < 1e-5)
      }
    }

    /// bfloat16 may differ from float32 as much as torch's does on the same inputs, which
    /// `Oracle/bf16_errors.py` prints (torch 2.15.0).
    @Test(
      .enabled(if: Precision.isBF16Native, "this CPU has no bfloat16 instructions"),
      arguments: instructionSets)
    func bf16(_ isa: InstructionSet) throws {
      try isa.using {
        let options = EngineOptions(precision: .bf16)
        let text = try Golden("text")
        let encoder = try Self.executable(
          .textEncoder, .textEncoder, sizes: Sizes(batch: 6, sequence: 77), options: options)
        let hidden = try encoder.run(["input_ids": text.ids("ids")])["last_hidden_state"]
        try #expect(relativeError(hidden, text.value("last_hidden_state")) < 0.00463)

        let golden = try Golden("unet")
        let unet = try Self.executable(
          .unet, .unet, sizes: Sizes(batch: 2, height: 16, width: 16, sequence: 77),
          options: options)
        for (timestep, bound) in [(981, 0.00581), (500, 0.00864), (321, 0.00611), (1, 0.00565)] {
          let output = try unet.run([
            "sample": golden.value("sample"), "timestep": Value([Float(timestep)], shape: [1]),
            "encoder_hidden_states": golden.value("encoder_hidden_states"),
          ])["out_sample"]
          try #expect(relativeError(output, golden.value("out_\(timestep)")) < bound)
        }

        let pictures = try Golden("vae")
        let sizes = Sizes(batch: 1, height: 16, width: 16)
        let decoder = try Self.executable(
          .vae, .vaeDecoder, sizes: sizes, options: options)
        let image = try decoder.run(["latent_sample": pictures.value("latent")])["sample"]
        try #expect(relativeError(image, pictures.value("image")) < 0.00732)
        let moments = try Self.executable(
          .vae, .vaeEncoder, sizes: sizes, options: options
        ).run(["sample": pictures.value("picture")])["latent_parameters"]
        try #expect(relativeError(moments, pictures.value("moments")) < 0.00216)
      }
    }

    /// BF16 products are oneDNN's on a CPU with AMX, which its kernels are named after, and ours on
    /// others with AVX512_BF16.
    @Test(.enabled(if: Precision.isBF16Native, "this CPU has no bfloat16 instructions"))
    func productsInBF16() throws {
      let golden = try Golden("unet")
      let unet = try Self.executable(
        .unet, .unet, sizes: Sizes(batch: 2, height: 16, width: 16, sequence: 77),
        options: EngineOptions(precision: .bf16))
      var implementations: [String] = []
      _ = try unet.run(
        [
          "sample": golden.value("sample"), "timestep": Value([500], shape: [1]),
          "encoder_hidden_states": golden.value("encoder_hidden_states"),
        ], observer: { if $0.kind == "linear" { implementations.append($0.implementation) } })
      #expect(!implementations.isEmpty)
      let withTiles = implementations.count { $0.contains("amx") }
      #expect((withTiles > 0) == (sdk_has_tiles() != 0), "\(Set(implementations))")
    }
  }
}
