import Checkpoint
import Engine
import ModelGraph
import Testing

extension EngineTests {
  /// Weights in a temporary file.
  struct WeightFileTests {
    private static func unet(_ options: EngineOptions) throws -> Executable {
      try GoldenTests.executable(
        .unet, .unet, sizes: Sizes(batch: 2, height: 16, width: 16), options: options)
    }

    private static func run(_ unet: Executable, _ golden: Golden) throws -> [Float] {
      let outputs = try unet.run([
        "sample": golden.value("sample"), "timestep": Value([500], shape: [1]),
        "encoder_hidden_states": golden.value("encoder_hidden_states"),
      ])
      return outputs["out_sample"]?.reals ?? []
    }

    /// The same numbers, run after run, whichever kernels read the weights.
    @Test(arguments: GoldenTests.instructionSets)
    func numbersAreTheSame(_ isa: InstructionSet) throws {
      try isa.using {
        let golden = try Golden("unet")
        let memory = try Self.run(Self.unet(EngineOptions()), golden)
        let filed = try Self.unet(EngineOptions(keepsWeightsInFile: true))
        for _ in 0..<2 { #expect(try Self.run(filed, golden) == memory) }
        #expect(!memory.isEmpty)
      }
    }
  }
}
