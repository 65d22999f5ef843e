import ModelFormats
import OrderedJSON

/// `scheduler_config.json`: how the model was trained, and defaults for sampling from it.
///
/// Fields that a file leaves out take the default of the scheduler that reads them, as in
/// diffusers; those are nil here. A field that is none of diffusers' scheduler fields, or that
/// asks for something not supported, is refused by name. Fields of schedulers other than the one
/// in use have no effect.
public struct SchedulerConfiguration: Sendable, Hashable {
  /// What the model predicts.
  public enum PredictionType: String, Sendable {
    /// The noise in the latents.
    case epsilon
    /// The latents without noise.
    case sample
    /// Velocity: Salimans and Ho, "Progressive Distillation" (2022).
    case velocity = "v_prediction"
  }

  /// How inference steps are spread over the training timesteps: Lin et al., "Common Diffusion
  /// Noise Schedules and Sample Steps are Flawed" (2023), table 2.
  public enum TimestepSpacing: String, Sendable {
    case linspace, leading, trailing
  }

  /// How the training noise grows.
  public enum BetaSchedule: String, Sendable {
    case linear
    /// Linear in the square root of beta: the latent diffusion schedule.
    case scaledLinear = "scaled_linear"
    /// The cosine schedule of Nichol and Dhariwal (2021).
    case squaredCosine = "squaredcos_cap_v2"
  }

  /// The scheduler that the repository asks for, where it is one of ours.
  public var name: SchedulerName?
  public var trainingTimesteps = 1000
  public var betaStart: Double?
  public var betaEnd: Double?
  public var betaSchedule: BetaSchedule?
  public var trainedBetas: [Float]?
  public var predictionType = PredictionType.epsilon
  public var timestepSpacing: TimestepSpacing?
  public var stepsOffset = 0
  /// PNDM: leave out the Runge-Kutta steps that start its multistep method.
  public var skipsRungeKutta = false
  /// The cumulative alpha beyond the last step is 1 instead of that of timestep 0.
  public var setsAlphaToOne: Bool?
  public var clipsSample: Bool?
  public var clipRange: Float = 1
  public var rescalesBetasToZeroSNR = false
  public var usesKarrasSigmas = false
  public var usesExponentialSigmas = false

  /// The defaults of diffusers' classes.
  public init() {}

  /// Reads a configuration file.
  ///
  /// - Throws: ``FormatError`` `malformed` for a value of the wrong kind, `unsupported` for a
  ///   field or value that cannot be honoured.
  public init(_ json: JSON) throws(FormatError) {
    guard let object = json.object else {
      throw FormatError(
        .malformed, "the scheduler configuration is not a JSON object",
        context: "scheduler_config.json")
    }
    for member in object.members {
      let field = SchedulerField(name: member.key, value: member.value)
      // A null stands for the default, as Python writes None.
      guard !member.value.isNull || member.key.hasPrefix("_") else { continue }
      try set(field)
    }
    if usesKarrasSigmas && usesExponentialSigmas {
      throw SchedulerField(name: "use_exponential_sigmas", value: true)
        .unsupported("it excludes use_karras_sigmas")
    }
  }

  private mutating func set(_ field: SchedulerField) throws(FormatError) {
    switch field.name {
    case "_class_name": name = field.value.string.flatMap(SchedulerName.init(className:))
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
    case "thresholding", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas",
      "use_dynamic_shifting":
      if try field.flag() { throw field.unsupported("it is not supported") }
    // These refine what the line above refuses.
    case "dynamic_thresholding_ratio", "sample_max_value", "flow_shift", "time_shift_type": break
    // Fields of diffusers' other schedulers, which files made for those hold.
    case "variance_type", "algorithm_type", "solver_type", "solver_order", "lower_order_final",
      "euler_at_final", "final_sigmas_type", "lambda_min_clipped", "interpolation_type",
      "sigma_min", "sigma_max", "timestep_type", "predict_x0", "disable_corrector", "solver_p",
      "original_inference_steps", "timestep_scaling":
      break
    default: throw field.unsupported("no scheduler of diffusers has this field")
    }
  }
}

/// One field of the file, read as what it should be.
private struct SchedulerField {
  let name: String
  let value: JSON

  func malformed(_ expected: String) -> FormatError {
    FormatError(
      .malformed, "\(name) is \(value.text(.compact)); it should be \(expected)",
      context: "scheduler_config.json")
  }

  func unsupported(_ reason: String) -> FormatError {
    FormatError(
      .unsupported, "\(name) is \(value.text(.compact)); \(reason)",
      context: "scheduler_config.json", hint: "remove the field if the model does not need it")
  }

  func integer(in range: ClosedRange<Int>) throws(FormatError) -> Int {
    guard let integer = value.int, range.contains(integer) else {
      throw malformed("an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  func number(in range: ClosedRange<Double>) throws(FormatError) -> Double {
    guard let number = value.double, range.contains(number) else {
      throw malformed("a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func flag() throws(FormatError) -> Bool {
    guard let flag = value.bool else { throw malformed("true or false") }
    return flag
  }

  func choice<Choice: RawRepresentable<String>>() throws(FormatError) -> Choice {
    guard let text = value.string else { throw malformed("a string") }
    guard let choice = Choice(rawValue: text) else { throw unsupported("it is not supported") }
    return choice
  }

  func betas() throws(FormatError) -> [Float] {
    let numbers = (value.array ?? []).map(\.double)
    let betas = numbers.compactMap { $0 }.filter { $0 > 0 && $0 < 1 }.map { Float($0) }
    guard !betas.isEmpty, betas.count == numbers.count else {
      throw malformed("a list of numbers between 0 and 1")
    }
    return betas
  }
}
