import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

/// A case of Fixtures/diffusion/schedulers.json, which schedulers.py there makes with diffusers.
struct SchedulerCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  let scheduler: String
  let steps: Int
  let eta: Float
  let config: JSON
  /// Noise levels and the name of their spacing, and the fraction of the steps to run, if not the
  /// scheduler's own.
  let sigmas: [Double]?
  let spacing: SigmaSpacing?
  let strength: Double?

  static let all: [SchedulerCase] = {
    guard
      let text = try? String(
        contentsOfFile: Fixtures.path("diffusion/schedulers.json"), encoding: .utf8),
      let rows = try? JSON(parsing: text).array
    else { return [] }
    return rows.map {
      SchedulerCase(
        testDescription: $0["name"]?.string ?? "", scheduler: $0["scheduler"]?.string ?? "",
        steps: $0["steps"]?.int ?? 0, eta: Float($0["eta"]?.double ?? 0),
        config: $0["config"] ?? [:], sigmas: $0["sigmas"]?.array?.compactMap(\.double),
        spacing: $0["spacing"]?.string.flatMap(SigmaSpacing.init(name:)),
        strength: $0["strength"]?.double)
    }
  }()
}

@Suite struct SchedulerTests {
  static let golden = try? TestTensors(path: Fixtures.path("diffusion/schedulers.safetensors"))

  @Test func allSchedulersHaveCases() {
    #expect(Set(SchedulerCase.all.map(\.scheduler)) == Set(SchedulerDescriptor.all.map(\.name)))
    let spacings = Set(SchedulerCase.all.compactMap(\.spacing))
    #expect(spacings.isSuperset(of: [.alignYourSteps, .sgmUniform, .simple, .beta]))
  }

  /// scipy.stats.beta.ppf(p, 0.6, 0.6) of scipy 1.17.1.
  @Test(
    arguments: [
      (1, 1), (0.999, 0.9999814412614826), (0.95, 0.9874455431263885),
      (0.75, 0.824319621347305), (0.5, 0.5), (0.3, 0.23401700387523572),
      (0.05, 0.012554456873611399), (0.001, 1.855873851745199e-05),
    ] as [(Double, Double)])
  func quantiles(probability: Double, expected: Double) {
    let found = SymmetricBeta(shape: 0.6).quantile(probability)
    #expect(abs(found - expected) < 1e-13)
  }

  /// More steps than the rounded quantiles have timesteps: none is repeated.
  @Test(arguments: [138, 139, 500, 999])
  func manyStepsWithBeta(steps: Int) throws {
    var configuration = try SchedulerConfiguration(Self.stableDiffusion)
    configuration.sigmas = .beta
    let timesteps = try configuration.scheduler(.euler, steps: steps).timesteps
    #expect(timesteps.count == steps)
    #expect(zip(timesteps, timesteps.dropFirst()).allSatisfy { $0 > $1 })
    #expect(timesteps.allSatisfy { $0 == $0.rounded() } == (steps < 139))
  }

  /// The same model outputs as diffusers got give the same latents, step by step.
  @Test(arguments: SchedulerCase.all)
  func trace(_ example: SchedulerCase) throws {
    let golden = try #require(Self.golden)
    let name = try #require(SchedulerDescriptor(name: example.scheduler))
    let prefix = example.testDescription
    var configuration = try SchedulerConfiguration(example.config)
    configuration.sigmas = example.spacing ?? example.sigmas.map { .list($0) }
    var scheduler = try configuration.scheduler(name, steps: example.steps, eta: example.eta)
    let first = example.strength.map {
      scheduler.firstEvaluation(strength: $0, steps: example.steps)
    }
    let timesteps = Array(scheduler.timesteps.dropFirst(first ?? 0))
    // From 14.6 to 0.03 in one ancestral step: what is left of 0.03² is below float32's rounding.
    let isSteep = prefix == "dpm2-a-2"
    #expect(
      Difference.largest(timesteps, golden["\(prefix)/timesteps"].floats) < (isSteep ? 0.02 : 2e-4))

    // With a first sigma of 4096 the latents are what is left of numbers 400 times as large.
    let isEuler = name == .euler || name == .eulerAncestral
    let cancels = isEuler && example.config["rescale_betas_zero_snr"]?.bool == true || isSteep
    // The class computes coefficients of order 3 in float32, as differences of nearly equal numbers.
    let isRounded = name == .deis && configuration.solverOrder == 3
    let tolerance = cancels ? 5e-5 : isRounded ? 1e-5 : 2e-6
    let count = golden["sample"].floats.count
    func row(_ name: String, _ index: Int) -> [Float] {
      Array(golden[name].floats[(index * count)..<((index + 1) * count)])
    }
    var random: any RandomSource = TorchRandom(seed: 42)
    let clean = golden["sample"].floats
    var sample =
      first.map { scheduler.noised(clean, with: row("model_outputs", 63), at: $0) }
      ?? clean.map { $0 * scheduler.initialNoiseSigma }
    #expect(Difference.relative(sample, row("\(prefix)/trace", 0)) < 3e-7)
    for index in timesteps.indices {
      let evaluation = index + (first ?? 0)
      let input = scheduler.modelInput(for: sample, at: evaluation)
      #expect(Difference.relative(input, row("\(prefix)/input", index)) < tolerance)
      sample = scheduler.step(
        modelOutput: row("model_outputs", index), at: evaluation, sample: sample, random: &random)
      #expect(Difference.relative(sample, row("\(prefix)/trace", index + 1)) < tolerance)
    }
  }

  /// PNDM's Runge-Kutta steps, which diffusers cannot start midway, have four evaluations each.
  @Test(
    arguments: [
      (1, 0), (0.91, 4), (0.9, 4), (0.8, 8), (0.7, 12), (0.5, 14), (0, 19),
    ] as [(Double, Int)])
  func rungeKuttaBegunLate(strength: Double, first: Int) throws {
    var configuration = try SchedulerConfiguration(Self.stableDiffusion)
    configuration.skipsRungeKutta = false
    var scheduler = try configuration.scheduler(.pndm, steps: 10)
    #expect(scheduler.timesteps.count == 19)
    #expect(scheduler.firstEvaluation(strength: strength, steps: 10) == first)
    // If the model predicts the noise itself, each step reaches the next noise level.
    let clean: [Float] = [0.5, -1, 2, 0.25]
    let noise: [Float] = [1, -0.5, 0.75, -2]
    var random: any RandomSource = TorchRandom(seed: 0)
    guard first < 19 else { return }
    var sample = scheduler.noised(clean, with: noise, at: first)
    for evaluation in first..<18 {
      sample = scheduler.step(
        modelOutput: noise, at: evaluation, sample: sample, random: &random)
      let expected = scheduler.noised(clean, with: noise, at: evaluation + 1)
      // A Runge-Kutta step looks ahead three times before it is made.
      if evaluation >= 12 || evaluation % 4 == 3 {
        #expect(Difference.relative(sample, expected) < 2e-6, "evaluation \(evaluation)")
      }
    }
  }

  /// A sum that diffusers' own tests expect, or that its schedulers give for the published
  /// Stable Diffusion configuration.
  struct Sum: Sendable, CustomTestStringConvertible {
    let scheduler: SchedulerDescriptor
    let steps: Int
    let config: JSON
    let sum: Float
    /// diffusers' own tests step from the scaled latents.
    var stepsFromInput = false
    var testDescription: String { "\(scheduler) \(steps) steps, sum \(sum)" }
  }

  static let published: JSON = [
    "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
  ]
  static let sigmas: JSON = [
    "num_train_timesteps": 1100, "beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear",
  ]
  static let stableDiffusion: JSON = [
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
    "beta_schedule": "scaled_linear", "set_alpha_to_one": false, "skip_prk_steps": true,
    "steps_offset": 1, "clip_sample": false,
  ]

  static func adding(_ key: String, _ value: JSON, to config: JSON) -> JSON {
    guard var object = config.object else { return config }
    object[key] = value
    return .object(object)
  }

  /// diffusers' scheduler tests replace the model by x · t / (t + 1) and start from 768 values
  /// i / 768 times the initial sigma, of which the batch of 4 varies fastest; they check the sum
  /// of the absolute latents after the loop. The first five come from its tests, the others from
  /// running its classes in the same way.
  @Test(arguments: [
    Sum(scheduler: .pndm, steps: 10, config: published, sum: 198.1318),
    Sum(
      scheduler: .pndm, steps: 10,
      config: adding("prediction_type", "v_prediction", to: published), sum: 67.3986),
    Sum(scheduler: .ddim, steps: 10, config: published, sum: 172.0067),
    Sum(scheduler: .lms, steps: 10, config: sigmas, sum: 1006.388, stepsFromInput: true),
    Sum(
      scheduler: .lms, steps: 10, config: adding("use_karras_sigmas", true, to: sigmas),
      sum: 3812.9927, stepsFromInput: true),
    Sum(scheduler: .pndm, steps: 20, config: stableDiffusion, sum: 202.458771),
    Sum(scheduler: .pndm, steps: 50, config: stableDiffusion, sum: 203.499130),
    Sum(scheduler: .ddim, steps: 20, config: stableDiffusion, sum: 192.082947),
    Sum(scheduler: .ddim, steps: 50, config: stableDiffusion, sum: 197.979019),
    Sum(scheduler: .lms, steps: 20, config: stableDiffusion, sum: 201.073746),
    Sum(scheduler: .lms, steps: 50, config: stableDiffusion, sum: 203.113617),
    Sum(
      scheduler: .lms, steps: 20,
      config: adding("use_karras_sigmas", true, to: stableDiffusion), sum: 208.178085),
    Sum(scheduler: .euler, steps: 10, config: sigmas, sum: 10.0807, stepsFromInput: true),
    Sum(
      scheduler: .eulerAncestral, steps: 10, config: sigmas, sum: 152.3192, stepsFromInput: true),
    Sum(
      scheduler: .lms, steps: 50,
      config: adding("use_karras_sigmas", true, to: stableDiffusion), sum: 219.526672),
    Sum(scheduler: .euler, steps: 20, config: stableDiffusion, sum: 189.605377),
    Sum(scheduler: .euler, steps: 50, config: stableDiffusion, sum: 196.246811),
    Sum(scheduler: .eulerAncestral, steps: 50, config: stableDiffusion, sum: 272.353363),
    Sum(scheduler: .heun, steps: 50, config: stableDiffusion, sum: 210.979553),
    Sum(scheduler: .dpmppMultistep, steps: 50, config: stableDiffusion, sum: 193.915466),
    Sum(
      scheduler: .dpmppMultistep, steps: 50,
      config: adding("use_karras_sigmas", true, to: stableDiffusion), sum: 204.310562),
    Sum(scheduler: .unipc, steps: 20, config: stableDiffusion, sum: 190.358856),
    Sum(scheduler: .eulerAncestral, steps: 20, config: stableDiffusion, sum: 265.274078),
    Sum(scheduler: .heun, steps: 20, config: stableDiffusion, sum: 220.261749),
    Sum(scheduler: .dpmppMultistep, steps: 20, config: stableDiffusion, sum: 190.498505),
    Sum(
      scheduler: .dpmppMultistep, steps: 20,
      config: adding("use_karras_sigmas", true, to: stableDiffusion), sum: 205.588821),
    Sum(
      scheduler: .unipc, steps: 10,
      config: adding("final_sigmas_type", "sigma_min", to: published), sum: 189.231842),
    Sum(
      scheduler: .dpmppMultistep, steps: 10,
      config: adding(
        "lower_order_final", false,
        to: adding("final_sigmas_type", "sigma_min", to: published)), sum: 253.551422),
    Sum(scheduler: .unipc, steps: 50, config: stableDiffusion, sum: 193.790436),
    Sum(scheduler: .lcm, steps: 4, config: stableDiffusion, sum: 189.007187),
    Sum(scheduler: .lcm, steps: 8, config: stableDiffusion, sum: 199.173737),
  ])
  func dummyModel(_ example: Sum) throws {
    var scheduler = try SchedulerConfiguration(example.config)
      .scheduler(example.scheduler, steps: example.steps)
    var random: any RandomSource = TorchRandom(seed: 0)
    var sample = (0..<768).map { index in
      Float(index % 192 * 4 + index / 192) / 768 * scheduler.initialNoiseSigma
    }
    for (evaluation, timestep) in scheduler.timesteps.enumerated() {
      let input = scheduler.modelInput(for: sample, at: evaluation)
      sample = scheduler.step(
        modelOutput: input.map { $0 * timestep / (timestep + 1) }, at: evaluation,
        sample: example.stepsFromInput ? input : sample, random: &random)
    }
    let sum = sample.reduce(0.0) { $0 + Double(abs($1)) }
    #expect(abs(sum / Double(example.sum) - 1) < 2e-5)
  }

  /// The weights that diffusers finds by integrating numerically, in float32: 20 steps, published
  /// configuration.
  @Test(
    arguments: [
      (0, [-3.8677969]), (1, [-3.5836527, 0.9183390]), (2, [-2.9332382, 1.3295553, -0.2729018]),
      (3, [-2.3239783, 1.4139495, -0.5044000, 0.0651421]),
      (4, [-1.7304125, 1.0877950, -0.4017275, 0.0540642]),
    ] as [(Int, [Double])])
  func multistepCoefficients(step: Int, expected: [Double]) throws {
    let scheduler = try LMSScheduler(
      SchedulerConfiguration(Self.stableDiffusion), steps: 20)
    let coefficients = scheduler.coefficients(at: step, order: min(step + 1, 4))
    #expect(coefficients.count == expected.count)
    for (value, reference) in zip(coefficients, expected) {
      #expect(abs(value - reference) < 3e-6)
    }
  }
}
