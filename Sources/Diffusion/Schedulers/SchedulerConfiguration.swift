import ModelFormats
import OrderedJSON

/// `scheduler_config.json`: how the model was trained, and defaults for sampling.
///
/// As in diffusers, a missing field takes the default of the scheduler that reads it; such fields
/// are nil here. A field that no diffusers scheduler has, or an unsupported value, is rejected by
/// name. Fields of other schedulers than the one in use have no effect.
public struct SchedulerConfiguration: Sendable, Hashable {
  /// What the model predicts.
  public enum PredictionType: String, Sendable {
    /// The noise in the latents.
    case epsilon
    /// The clean latents.
    case sample
    /// Velocity: Salimans and Ho, "Progressive Distillation" (2022).
    case velocity = "v_prediction"
  }

  /// How inference steps are spaced over the training timesteps: Lin et al., "Common Diffusion
  /// Noise Schedules and Sample Steps are Flawed" (2023), table 2.
  public enum TimestepSpacing: String, Sendable {
    case linspace, leading, trailing
  }

  /// How the noise of training grows with the timestep.
  package enum BetaSchedule: String, Sendable {
    case linear
    /// Linear in the square root of beta: the latent diffusion schedule.
    case scaledLinear = "scaled_linear"
    /// The cosine schedule of Nichol and Dhariwal (2021).
    case squaredCosine = "squaredcos_cap_v2"
  }

  /// The last sigma.
  package enum FinalSigma: String, Sendable {
    case zero
    /// The smallest sigma of the training timesteps.
    case smallest = "sigma_min"
  }

  /// DDPM: the variance of the noise that a step adds.
  package enum Variance: String, Sendable {
    case fixedSmall = "fixed_small"
    case fixedSmallLog = "fixed_small_log"
    case fixedLarge = "fixed_large"
  }

  /// How a multistep solver estimates derivatives. The first two are DPM-Solver's, the others
  /// UniPC's; each treats the other's values as its own default.
  package enum Solver: String, Sendable {
    case midpoint, heun, logrho, bh1, bh2
  }

  /// The scheduler that the file names; nil if it names none or an unknown one.
  public var descriptor: SchedulerDescriptor?
  /// The diffusers class that the file names, known or not.
  public var className: String?
  /// The timesteps of training, 1000 for Stable Diffusion.
  public var trainingTimesteps = 1000
  package var betaStart: Double?
  package var betaEnd: Double?
  package var betaSchedule: BetaSchedule?
  package var trainedBetas: [Float]?
  /// What the model predicts.
  public var predictionType = PredictionType.epsilon
  /// How timesteps are spaced; the scheduler's default if nil.
  public var timestepSpacing: TimestepSpacing?
  package var stepsOffset = 0
  /// PNDM: skip the Runge-Kutta steps that start its multistep method.
  package var skipsRungeKutta = false
  /// Whether the cumulative alpha after the last step is 1 instead of that of timestep 0.
  package var setsAlphaToOne: Bool?
  package var clipsSample: Bool?
  package var clipRange: Float = 1
  package var rescalesBetasToZeroSNR = false
  package var usesKarrasSigmas = false
  package var usesExponentialSigmas = false
  /// The requested spacing of sigmas; overrides both.
  package var sigmas: SigmaSpacing?
  package var finalSigma = FinalSigma.zero
  package var variance = Variance.fixedSmall
  package var solver: Solver?
  package var solverOrder = 2
  /// Multistep solvers: whether the last steps have a lower order.
  package var lowersFinalOrder: Bool?
  /// DPM-Solver: whether the last step has order 1.
  package var endsWithEuler = false
  /// UniPC: the steps after which the corrector is skipped.
  package var uncorrectedSteps: [Int] = []
  /// LCM and TCD: the number of steps in the distillation, from which timesteps are chosen.
  package var originalSteps = 50
  /// LCM: the factor of timesteps in the boundary condition.
  package var timestepScaling: Float = 10

  /// The defaults of diffusers' classes.
  public init() {}

  /// Reads a configuration file.
  ///
  /// - Throws: ``FormatError`` `malformed` for a value of the wrong type or range, `unsupported` for
  ///   an unknown field or unsupported value.
  package init(_ json: JSON) throws(FormatError) {
    guard let object = json.object else {
      throw FormatError(
        .malformed, "the scheduler configuration is not a JSON object",
        context: "scheduler_config.json")
    }
    for member in object.members {
      // A null means a missing field only if the default in diffusers' classes is None.
      guard !(member.value.isNull && Self.nullable.contains(member.key)) else { continue }
      try set(SchedulerField(name: member.key, value: member.value))
    }
    if let algorithmType, let named = descriptor {
      guard let variant = named.variant(algorithmType: algorithmType) else {
        throw SchedulerField(name: "algorithm_type", value: .string(algorithmType))
          .unsupported(
            "\(className ?? named.name) supports only \(named.algorithmTypes?.first ?? "")")
      }
      descriptor = variant
    }
    if usesKarrasSigmas && usesExponentialSigmas {
      throw SchedulerField(name: "use_exponential_sigmas", value: true)
        .unsupported("it excludes use_karras_sigmas")
    }
  }

  /// Fields whose default in diffusers is None, or minus infinity, which JSON cannot express.
  private static let nullable: Set<String> = [
    "trained_betas", "variance_type", "sigma_min", "sigma_max", "solver_p", "shift_terminal",
    "noise_sampler_seed", "lambda_min_clipped",
  ]

  /// Which of several schedulers of a class the file selects.
  private var algorithmType: String?

  private mutating func set(_ field: SchedulerField) throws(FormatError) {
    switch field.name {
    case "_class_name":
      className = field.value.string
      descriptor = className.flatMap(SchedulerDescriptor.init(className:))
    case let name where name.hasPrefix("_"): break
    case "num_train_timesteps": trainingTimesteps = try field.integer(in: 2...100_000)
    case "beta_start": betaStart = try field.number(in: 0...1)
    case "beta_end": betaEnd = try field.number(in: 0...1)
    case "beta_schedule": betaSchedule = try field.choice()
    case "trained_betas": trainedBetas = try field.betas()
    case "prediction_type": predictionType = try field.choice()
    case "timestep_spacing": timestepSpacing = try field.choice()
    case "steps_offset": stepsOffset = try field.integer(in: 0...100_000)
    case "skip_prk_steps": skipsRungeKutta = try field.flag()
    case "set_alpha_to_one": setsAlphaToOne = try field.flag()
    case "clip_sample": clipsSample = try field.flag()
    case "clip_sample_range": clipRange = Float(try field.number(in: 0...1e6))
    case "rescale_betas_zero_snr": rescalesBetasToZeroSNR = try field.flag()
    case "use_karras_sigmas": usesKarrasSigmas = try field.flag()
    case "use_exponential_sigmas": usesExponentialSigmas = try field.flag()
    case "final_sigmas_type": finalSigma = try field.choice()
    case "variance_type": variance = try field.choice()
    case "solver_type": solver = try field.choice()
    case "solver_order": solverOrder = try field.integer(in: 1...3)
    case "lower_order_final": lowersFinalOrder = try field.flag()
    case "euler_at_final": endsWithEuler = try field.flag()
    case "disable_corrector": uncorrectedSteps = try field.integers(in: 0...100_000)
    case "original_inference_steps": originalSteps = try field.integer(in: 1...100_000)
    case "timestep_scaling": timestepScaling = Float(try field.number(in: 0...1e6))
    case "thresholding", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas",
      "use_dynamic_shifting":
      try field.require(false)
    case "predict_x0": try field.require(true)
    case "algorithm_type":
      try field.require(oneOf: SchedulerDescriptor.algorithmTypes)
      algorithmType = field.value.string
    case "interpolation_type": try field.require(oneOf: ["linear"])
    case "timestep_type": try field.require(oneOf: ["discrete"])
    case "sigma_min", "sigma_max", "lambda_min_clipped", "solver_p", "shift_terminal",
      "noise_sampler_seed":
      throw field.unsupported("it is not supported")
    // These refine features that are rejected above.
    case "dynamic_thresholding_ratio", "sample_max_value", "flow_shift", "time_shift_type": break
    default:
      guard field.value.isNull else {
        throw field.unsupported("no diffusers scheduler has this field")
      }
    }
  }
}
