import Checkpoint
import Diffusion
import Foundation
import TestSupport
import Testing

/// Variation seeds. Right values: `slerp` of the AUTOMATIC1111 web UI's modules/rng.py on
/// `torch.randn(4, 8, 8)` with the seeds 42 and 7, in torch 2.
@Suite struct NoiseVariationTests {
  private static let shape = [1, 4, 8, 8]

  private static func noise(_ seed: UInt64) throws -> Latents {
    var random = try RandomSourceName.torch.source(seed: seed)
    return Latents(random.normal(count: 256), shape: shape)
  }

  @Test(
    arguments: [
      (0.25, [1.68684, 1.43014, 1.25351, 0.6514, -0.55082, 0.09139], 5.5491),
      (0.5, [1.03057, 1.20975, 0.71522, 0.55677, -1.53742, -0.05014], -5.2841),
      (1.0, [-0.82013, 0.39563, -0.53551, 0.12744, -2.63433, -0.30043], -20.5196),
    ] as [(Double, [Float], Double)])
  func mixes(strength: Double, expected: [Float], sum: Double) throws {
    let mixed = NoiseVariation(seed: 7, strength: strength)
      .mixed(try Self.noise(42), try Self.noise(7))
    for (index, value) in zip([0, 1, 9, 100, 200, 255], expected) {
      #expect(abs(mixed.values[index] - value) < 2e-5, "\(index)")
    }
    #expect(abs(mixed.values.reduce(0) { $0 + Double($1) } - sum) < 1e-3)
  }

  /// Parallel noises are mixed linearly, with the web UI's weights.
  @Test func mixesParallelNoises() throws {
    let first = try Self.noise(42)
    let mixed = NoiseVariation(seed: 42, strength: 0.25).mixed(first, first.mapped { $0 * 1.5 })
    #expect(abs(mixed.values[0] - 2.64951) < 2e-5 && abs(mixed.values[255] - 0.30587) < 2e-5)
  }

  /// `ImageRNG.first` of the web UI pastes the middle: larger, smaller, and by an odd difference.
  @Test func noiseOfAnotherSize() {
    func grid(_ height: Int, _ width: Int, _ start: Float) -> Latents {
      Latents((0..<height * width).map { start + Float($0) }, shape: [1, 1, height, width])
    }
    let larger = SeedSize.centered(grid(2, 3, 100), in: grid(4, 4, 0))
    #expect(larger.values == [0, 1, 2, 3, 100, 101, 102, 7, 103, 104, 105, 11, 12, 13, 14, 15])
    let smaller = SeedSize.centered(grid(4, 5, 100), in: grid(2, 2, 0))
    // Python's (2 - 5) // 2 is -2: one column of the five.
    #expect(smaller.values == [107, 1, 112, 3])
  }

  @Test func noneIsTheFirst() throws {
    let first = try Self.noise(42)
    #expect(NoiseVariation(seed: 7, strength: 0).mixed(first, try Self.noise(7)) == first)
  }
}

/// What is warned of before a model draws.
@Suite struct SamplingWarningTests {
  private static func warnings(_ change: (inout GenerationRequest) -> Void) throws -> [String] {
    var request = GenerationRequest(prompt: "a")
    change(&request)
    return try GenerationTests.model.get().limits.samplingWarnings(for: request)
  }

  @Test func defaultEtaOfTCD() throws {
    let found = try Self.warnings { ($0.scheduler, $0.steps) = (.tcd, 4) }
    #expect(found.count == 1 && found[0].contains("eta 0.3"), "\(found)")
    #expect(try Self.warnings { ($0.scheduler, $0.steps, $0.eta) = (.tcd, 4, 0.3) }.isEmpty)
    #expect(try Self.warnings { $0.scheduler = .ddim }.isEmpty)
  }

  /// Zero terminal SNR with epsilon, where the scheduler rescales: not pndm, nor with velocity.
  @Test(
    arguments: [
      (SchedulerDescriptor.ddim, nil, true), (.euler, nil, true), (.pndm, nil, false),
      (.ddim, .velocity, false),
    ] as [(SchedulerDescriptor, SchedulerConfiguration.PredictionType?, Bool)])
  func zeroTerminalSNR(
    scheduler: SchedulerDescriptor, prediction: SchedulerConfiguration.PredictionType?,
    isWarned: Bool
  ) throws {
    try withTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: Fixtures.path("shapes-v2"), toPath: model)
      let path = model + "/scheduler/scheduler_config.json"
      let text = try String(contentsOfFile: path, encoding: .utf8)
        .replacingOccurrences(of: "{", with: "{\"rescale_betas_zero_snr\": true,")
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      var request = GenerationRequest(prompt: "a")
      request.scheduler = scheduler
      request.sampling.prediction = prediction
      let warnings = try DrawingLimits(of: ModelCheckpoint.open(model))
        .samplingWarnings(for: request)
      #expect(warnings.contains { $0.contains("zero terminal SNR") } == isWarned, "\(warnings)")
    }
  }
}
