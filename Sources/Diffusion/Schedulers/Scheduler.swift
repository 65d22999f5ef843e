import ModelFormats

/// Takes latents from noise to a picture in steps, given what the model predicts at each.
///
/// A scheduler is made for one picture (or one batch) and holds the history that its method
/// needs. The caller evaluates the model once for each of ``timesteps``, in order; a method of
/// higher order has more evaluations than steps.
public protocol Scheduler: Sendable {
  /// The timestep of each model evaluation.
  var timesteps: [Float] { get }

  /// The standard deviation of the noise to start from.
  var initialNoiseSigma: Float { get }

  /// The latents as the model wants them at an evaluation.
  func modelInput(for sample: [Float], at evaluation: Int) -> [Float]

  /// The latents after an evaluation.
  ///
  /// - Parameters:
  ///   - modelOutput: what the model predicts for ``modelInput(for:at:)``, guidance applied.
  ///   - evaluation: an index into ``timesteps``; 0 first, then one more each time.
  ///   - sample: the latents before, of as many elements.
  ///   - random: where a stochastic method draws noise from, one tensor per step.
  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float]
}

extension Scheduler {
  /// Models in variance-preserving form take the latents as they are.
  public func modelInput(for sample: [Float], at evaluation: Int) -> [Float] { sample }
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
  case dpmppMultistep = "dpmpp-2m"
  case unipc
  case lcm

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
    case "DPMSolverMultistepScheduler": self = .dpmppMultistep
    case "UniPCMultistepScheduler": self = .unipc
    case "LCMScheduler": self = .lcm
    default: return nil
    }
  }
}

extension SchedulerConfiguration {
  /// A scheduler ready for its first step.
  ///
  /// - Parameters:
  ///   - steps: how many inference steps, 1 up to the number of training timesteps.
  ///   - eta: for DDIM, the share of DDPM's noise that is added back at each step, 0 to 1.
  /// - Throws: ``FormatError`` `unsupported`, naming the field that cannot be honoured.
  public func scheduler(
    _ name: SchedulerName, steps: Int, eta: Float = 0
  ) throws(FormatError) -> any Scheduler {
    guard steps >= 1, steps <= trainingTimesteps else {
      throw FormatError(
        .unsupported, "\(steps) steps cannot be taken; the model knows \(trainingTimesteps)",
        context: "scheduler", hint: "take 1 to \(trainingTimesteps) steps")
    }
    switch name {
    case .pndm: return try PNDMScheduler(self, steps: steps)
    case .ddim: return try DDIMScheduler(self, steps: steps, eta: eta)
    case .lms: return try LMSScheduler(self, steps: steps)
    case .ddpm: return try DDPMScheduler(self, steps: steps)
    case .euler: return try EulerScheduler(self, steps: steps)
    case .eulerAncestral: return try EulerScheduler(self, steps: steps, isAncestral: true)
    case .heun: return try HeunScheduler(self, steps: steps)
    case .dpmppMultistep: return try DPMSolverScheduler(self, steps: steps)
    case .unipc: return try UniPCScheduler(self, steps: steps)
    case .lcm: return try LCMScheduler(self, steps: steps)
    }
  }
}
