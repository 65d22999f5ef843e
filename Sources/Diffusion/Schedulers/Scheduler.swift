import ModelFormats

/// Takes latents from noise to a picture in steps, given what the model predicts at each.
///
/// A scheduler is made for one picture (or one batch) and holds the history that its method
/// needs. The caller evaluates the model once for each of ``timesteps``, in order, from the first
/// or from ``firstEvaluation(strength:steps:)`` on; a method of higher order has more evaluations
/// than steps.
public protocol Scheduler: Sendable {
  /// The timestep of each model evaluation.
  var timesteps: [Float] { get }

  /// The standard deviation of the noise to start from.
  var initialNoiseSigma: Float { get }

  /// Evaluations that one step takes: 1, or 2 where the method looks at both ends of a step.
  var evaluationsPerStep: Int { get }

  /// The latents as the model wants them at an evaluation.
  func modelInput(for sample: [Float], at evaluation: Int) -> [Float]

  /// The latents after an evaluation.
  ///
  /// - Parameters:
  ///   - modelOutput: what the model predicts for ``modelInput(for:at:)``, guidance applied.
  ///   - evaluation: an index into ``timesteps``, one more each time.
  ///   - sample: the latents before, of as many elements.
  ///   - random: where a stochastic method draws noise from, one tensor per step.
  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float]

  /// Clean latents with as much noise as there is at an evaluation: diffusers' `add_noise`.
  ///
  /// - Parameter noise: of standard deviation 1, of as many elements.
  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float]

  /// The evaluation to begin with where only a share of the steps is taken, as for
  /// image-to-image; the number of evaluations where none is.
  ///
  /// - Parameters:
  ///   - strength: the share of the steps that is taken, from the last one back, 0 to 1.
  ///   - steps: the steps that the scheduler was made for.
  func firstEvaluation(strength: Double, steps: Int) -> Int
}

extension Scheduler {
  /// Models in variance-preserving form take the latents as they are.
  public func modelInput(for sample: [Float], at evaluation: Int) -> [Float] { sample }

  public var evaluationsPerStep: Int { 1 }

  /// As `get_timesteps` of diffusers' image-to-image pipeline.
  public func firstEvaluation(strength: Double, steps: Int) -> Int {
    min(skippedSteps(strength: strength, steps: steps) * evaluationsPerStep, timesteps.count)
  }

  /// The steps before the first that is taken.
  func skippedSteps(strength: Double, steps: Int) -> Int {
    steps - min(max(Int(Double(steps) * strength), 0), steps)
  }
}

/// The schedulers, by the names that the command line gives them.
public enum SchedulerName: String, Sendable, CaseIterable {
  case pndm
  case ddim
  case lms
  case ddpm
  case euler
  case eulerAncestral = "euler-a"
  case heun
  case dpm2
  case dpm2Ancestral = "dpm2-a"
  case dpmppMultistep = "dpmpp-2m"
  case dpmppMultistepSDE = "dpmpp-2m-sde"
  case dpmppSinglestep = "dpmpp-2s"
  case dpmppSDE = "dpmpp-sde"
  case unipc
  case lcm
  case tcd

  /// The scheduler of that diffusers class; nil where there is none here.
  public init?(className: String) {
    switch className {
    case "PNDMScheduler": self = .pndm
    case "DDIMScheduler": self = .ddim
    case "LMSDiscreteScheduler": self = .lms
    case "DDPMScheduler": self = .ddpm
    case "EulerDiscreteScheduler": self = .euler
    case "EulerAncestralDiscreteScheduler": self = .eulerAncestral
    case "HeunDiscreteScheduler": self = .heun
    case "KDPM2DiscreteScheduler": self = .dpm2
    case "KDPM2AncestralDiscreteScheduler": self = .dpm2Ancestral
    case "DPMSolverMultistepScheduler": self = .dpmppMultistep
    case "DPMSolverSinglestepScheduler": self = .dpmppSinglestep
    case "DPMSolverSDEScheduler": self = .dpmppSDE
    case "UniPCMultistepScheduler": self = .unipc
    case "LCMScheduler": self = .lcm
    case "TCDScheduler": self = .tcd
    default: return nil
    }
  }

  /// Whether it works on noise levels, so that their spacing can be chosen.
  public var takesSigmas: Bool {
    switch self {
    case .pndm, .ddim, .ddpm, .lcm, .tcd: false
    default: true
    }
  }

  /// Whether its timesteps can be spaced in another way.
  public var takesSpacing: Bool {
    switch self {
    case .lcm, .tcd, .dpmppSinglestep: false
    default: true
    }
  }

  /// Whether it has an eta, and which where none is given.
  public var defaultEta: Float? {
    switch self {
    case .ddim: 0
    case .tcd: 0.3
    default: nil
    }
  }
}

extension SchedulerConfiguration {
  /// A scheduler ready for its first step.
  ///
  /// - Parameters:
  ///   - steps: how many inference steps, 1 up to the number of training timesteps.
  ///   - eta: for DDIM, the share of DDPM's noise that is added back at each step; for TCD, how far
  ///     beyond the next level a step goes; 0 to 1. No effect with others.
  /// - Throws: ``FormatError`` `unsupported`, naming the field that cannot be honoured.
  public func scheduler(
    _ name: SchedulerName, steps: Int, eta: Float? = nil
  ) throws(FormatError) -> any Scheduler {
    guard steps >= 1, steps <= trainingTimesteps else {
      throw FormatError(
        .unsupported, "\(steps) steps cannot be taken; the model knows \(trainingTimesteps)",
        context: Timesteps.context, hint: "take 1 to \(trainingTimesteps) steps")
    }
    switch name {
    case .pndm: return try PNDMScheduler(self, steps: steps)
    case .ddim: return try DDIMScheduler(self, steps: steps, eta: eta ?? 0)
    case .lms: return try LMSScheduler(self, steps: steps)
    case .ddpm: return try DDPMScheduler(self, steps: steps)
    case .euler: return try EulerScheduler(self, steps: steps)
    case .eulerAncestral: return try EulerScheduler(self, steps: steps, isAncestral: true)
    case .heun: return try HeunScheduler(self, steps: steps)
    case .dpm2: return try KDPM2Scheduler(self, steps: steps)
    case .dpm2Ancestral: return try KDPM2Scheduler(self, steps: steps, isAncestral: true)
    case .dpmppMultistep: return try DPMSolverScheduler(self, steps: steps)
    case .dpmppMultistepSDE: return try DPMSolverScheduler(self, steps: steps, isStochastic: true)
    case .dpmppSinglestep: return try DPMSolverSinglestepScheduler(self, steps: steps)
    case .dpmppSDE: return try DPMSolverSDEScheduler(self, steps: steps)
    case .unipc: return try UniPCScheduler(self, steps: steps)
    case .lcm: return try LCMScheduler(self, steps: steps)
    case .tcd: return try TCDScheduler(self, steps: steps, eta: eta ?? 0.3)
    }
  }
}
