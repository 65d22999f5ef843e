import Diffusion
import Foundation
import ModelFormats
import OrderedJSON
import TestSupport
import Testing

@Suite struct SchedulerConfigurationTests {
  struct Refused: Sendable, CustomTestStringConvertible {
    let config: JSON
    let code: FormatError.Code
    let field: String
    var testDescription: String { config.text(.compact) }
  }

  @Test(arguments: [
    Refused(config: [], code: .malformed, field: "object"),
    Refused(config: ["thresholding": true], code: .unsupported, field: "thresholding"),
    Refused(config: ["use_beta_sigmas": true], code: .unsupported, field: "use_beta_sigmas"),
    Refused(config: ["beta_schedule": "sigmoid"], code: .unsupported, field: "beta_schedule"),
    Refused(config: ["prediction_type": "flow"], code: .unsupported, field: "prediction_type"),
    Refused(config: ["timestep_spacing": "log"], code: .unsupported, field: "timestep_spacing"),
    Refused(config: ["cosine_s": 0.008], code: .unsupported, field: "cosine_s"),
    Refused(
      config: ["use_karras_sigmas": true, "use_exponential_sigmas": true], code: .unsupported,
      field: "use_exponential_sigmas"),
    Refused(config: ["variance_type": "learned"], code: .unsupported, field: "variance_type"),
    Refused(config: ["predict_x0": false], code: .unsupported, field: "predict_x0"),
    Refused(
      config: ["algorithm_type": "sde-dpmsolver"], code: .unsupported, field: "algorithm_type"),
    Refused(
      config: [
        "_class_name": "DPMSolverSinglestepScheduler", "algorithm_type": "sde-dpmsolver++",
      ], code: .unsupported, field: "algorithm_type"),
    Refused(
      config: ["_class_name": "DEISMultistepScheduler", "algorithm_type": "sde-dpmsolver++"],
      code: .unsupported, field: "algorithm_type"),
    Refused(config: ["noise_sampler_seed": 3], code: .unsupported, field: "noise_sampler_seed"),
    Refused(
      config: ["interpolation_type": "log_linear"], code: .unsupported,
      field: "interpolation_type"),
    Refused(config: ["sigma_max": 80], code: .unsupported, field: "sigma_max"),
    Refused(config: ["solver_order": 4], code: .malformed, field: "solver_order"),
    Refused(config: ["disable_corrector": ["a"]], code: .malformed, field: "disable_corrector"),
    Refused(config: ["num_train_timesteps": 0], code: .malformed, field: "num_train_timesteps"),
    Refused(
      config: ["num_train_timesteps": 1_000_000_000_000], code: .malformed,
      field: "num_train_timesteps"),
    Refused(config: ["beta_end": "0.02"], code: .malformed, field: "beta_end"),
    Refused(config: ["beta_start": 2], code: .malformed, field: "beta_start"),
    Refused(config: ["clip_sample": 1], code: .malformed, field: "clip_sample"),
    Refused(config: ["steps_offset": -1], code: .malformed, field: "steps_offset"),
    Refused(config: ["trained_betas": [0.1, 1.5]], code: .malformed, field: "trained_betas"),
    Refused(config: ["trained_betas": []], code: .malformed, field: "trained_betas"),
  ])
  func refusedByName(_ refused: Refused) {
    let error = #expect(throws: FormatError.self) { try SchedulerConfiguration(refused.config) }
    #expect(error?.code == refused.code)
    #expect(error?.message.contains(refused.field) == true)
  }

  /// Valid configurations that cannot give the requested scheduler.
  @Test(
    arguments: [
      ([:], .pndm, 0), ([:], .pndm, 1001), ([:], .pndm, 3),
      (["prediction_type": "sample"], .pndm, 20),
      (["steps_offset": 1], .ddim, 1000), (["trained_betas": [0.1, 0.2]], .lms, 20),
      ([:], .lcm, 51), (["original_inference_steps": 2000], .lcm, 4), ([:], .unipc, 1000),
      (["prediction_type": "sample"], .eulerAncestral, 20),
      (["prediction_type": "sample"], .dpm2, 20),
      (["prediction_type": "sample"], .dpm2Ancestral, 4),
      (["prediction_type": "sample"], .dpmppSDE, 20), (["solver_order": 3], .dpmppSinglestep, 20),
      ([:], .tcd, 51),
    ] as [(JSON, SchedulerDescriptor, Int)])
  func impossible(config: JSON, name: SchedulerDescriptor, steps: Int) throws {
    let configuration = try SchedulerConfiguration(config)
    #expect(throws: FormatError.self) { try configuration.scheduler(name, steps: steps) }
  }

  /// Null is a field's absence only where diffusers' default is None; of a flag it is false.
  @Test func nullIsNoAbsence() throws {
    #expect(try SchedulerConfiguration(["trained_betas": nil]) == SchedulerConfiguration([:]))
    #expect(try SchedulerConfiguration(["set_alpha_to_one": nil]).setsAlphaToOne == false)
    #expect(try SchedulerConfiguration(["thresholding": nil]) == SchedulerConfiguration([:]))
    for field in [
      "prediction_type", "timestep_spacing", "beta_start", "num_train_timesteps", "steps_offset",
      "predict_x0", "solver_order",
    ] {
      let error = #expect(throws: FormatError.self) {
        try SchedulerConfiguration(["\(field)": nil])
      }
      #expect(error?.message.contains(field) == true)
    }
  }

  /// Levels of 0 have no logarithm, and equal neighbors no timestep between them.
  @Test(arguments: ["use_karras_sigmas", "use_exponential_sigmas"])
  func respacingOddLevels(field: String) throws {
    for name in [SchedulerDescriptor.lms, .euler, .heun, .dpmppMultistep, .unipc, .deis] {
      let silent = try SchedulerConfiguration(["beta_start": 0, "beta_end": 0.01, "\(field)": true])
      #expect(throws: FormatError.self, "\(name)") { try silent.scheduler(name, steps: 8) }
      let falling = try SchedulerConfiguration(
        ["beta_start": 0.01, "beta_end": 1e-12, "\(field)": true])
      let scheduler = try falling.scheduler(name, steps: 8)
      #expect(scheduler.timesteps.allSatisfy { (0...999).contains($0) }, "\(name)")
    }
  }

  /// 61 trailing steps of 1000 round up to 62, one before the first timestep.
  @Test(arguments: [SchedulerDescriptor.lms, .euler, .eulerAncestral, .heun])
  func trailingStepsThatRoundUp(name: SchedulerDescriptor) throws {
    let configuration = try SchedulerConfiguration(["timestep_spacing": "trailing"])
    let error = #expect(throws: FormatError.self) { try configuration.scheduler(name, steps: 61) }
    #expect(error?.code == .unsupported)
    #expect(try configuration.scheduler(name, steps: 60).timesteps.allSatisfy { $0 >= 0 })
  }

  /// Every field that a diffusers class of ours takes, with its default, is read by the class's
  /// own scheduler: `inspect.signature(cls.__init__)` of diffusers 0.42.1.
  @Test(
    arguments: [
      ("PNDMScheduler", .pndm, ["skip_prk_steps": false, "set_alpha_to_one": false]),
      ("DDIMScheduler", .ddim, ["clip_sample": true, "thresholding": false]),
      ("KDPM2DiscreteScheduler", .dpm2, ["use_beta_sigmas": false]),
      ("KDPM2AncestralDiscreteScheduler", .dpm2Ancestral, ["use_beta_sigmas": false]),
      (
        "DPMSolverMultistepScheduler", .dpmppMultistepSDE,
        [
          "algorithm_type": "sde-dpmsolver++", "use_lu_lambdas": false, "variance_type": nil,
          "lambda_min_clipped": nil, "flow_shift": 1.0, "time_shift_type": "exponential",
        ]
      ),
      ("DPMSolverSinglestepScheduler", .dpmppSinglestep, ["lower_order_final": false]),
      ("DPMSolverSDEScheduler", .dpmppSDE, ["noise_sampler_seed": nil]),
      (
        "DEISMultistepScheduler", .deis,
        [
          "algorithm_type": "deis", "solver_type": "logrho", "use_flow_sigmas": false,
          "flow_shift": 1.0, "use_dynamic_shifting": false, "time_shift_type": "exponential",
        ]
      ),
      ("TCDScheduler", .tcd, ["original_inference_steps": 50, "timestep_scaling": 10.0]),
    ] as [(String, SchedulerDescriptor, JSON)])
  func classes(className: String, name: SchedulerDescriptor, fields: JSON) throws {
    var object = try #require(fields.object)
    object["_class_name"] = .string(className)
    let configuration = try SchedulerConfiguration(.object(object))
    #expect(try configuration.defaultScheduler() == name)
    _ = try configuration.scheduler(name, steps: 8)
  }

  @Test func embeddedModel() throws {
    let text = try String(
      contentsOfFile: Fixtures.path("shapes-v2/scheduler/scheduler_config.json"), encoding: .utf8)
    let configuration = try SchedulerConfiguration(JSON(parsing: text))
    #expect(configuration.descriptor == .pndm)
    let scheduler = try configuration.scheduler(.pndm, steps: 20)
    #expect(scheduler.timesteps.prefix(4) == [951, 901, 901, 851])
    #expect(scheduler.timesteps.count == 21)
  }
}
