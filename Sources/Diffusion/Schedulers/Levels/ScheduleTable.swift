import Checkpoint
import ModelFormats

/// The noise levels of a drawing: what a scheduler passes through, step by step, and the training
/// schedule from which it takes them.
///
/// Symbols as in Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020): latents
/// with noise are x_t = √ᾱ_t x_0 + √(1−ᾱ_t) ε, and ᾱ_t is the product of 1 − β up to timestep t.
public struct ScheduleTable: Sendable {
  /// One evaluation of the model.
  public struct Level: Sendable {
    /// Counted from 1. Some methods evaluate the model more than once per step.
    public let evaluation: Int
    /// The timestep that the model is told.
    public let timestep: Float
    /// β_t: the variance of the noise that the timestep adds in training; interpolated between
    /// training timesteps.
    public let beta: Double
    /// ᾱ_t: the fraction of the variance that is signal.
    public let cumulativeAlpha: Double
    /// √((1−ᾱ_t) / ᾱ_t): noise over signal; infinite if there is no signal.
    public let sigma: Double
    /// √ᾱ_t: the amplitude of the picture in x_t.
    public var signal: Double { cumulativeAlpha.squareRoot() }
    /// √(1−ᾱ_t): the amplitude of the noise in x_t.
    public var noise: Double { (1 - cumulativeAlpha).squareRoot() }
  }

  /// The scheduler.
  public let scheduler: SchedulerDescriptor
  /// The evaluations in the order of drawing, from noise to picture.
  public let levels: [Level]
  /// β_t of each training timestep.
  public let betas: [Float]
  /// ᾱ_t of each training timestep.
  public let cumulativeAlphas: [Float]
  /// The standard deviation of the noise that drawing starts from.
  public let initialNoiseSigma: Float

  /// - Parameters:
  ///   - steps: the number of inference steps, 1 up to the number of training timesteps.
  ///   - overrides: what is asked for in place of the configuration's values.
  /// - Throws: ``FormatError`` for a configuration that cannot be honored, ``GenerationError``
  ///   `request` if the scheduler ignores an override.
  public init(
    _ configuration: SchedulerConfiguration, _ scheduler: SchedulerDescriptor, steps: Int,
    eta: Float? = nil, overrides: SamplingOverrides = SamplingOverrides()
  ) throws {
    let configuration = try configuration.applying(overrides, to: scheduler, eta: eta)
    let made = try configuration.scheduler(scheduler, steps: steps, eta: eta)
    let training = try NoiseSchedule(configuration, scheduler.training)
    self.scheduler = scheduler
    (betas, cumulativeAlphas) = (training.betas, training.cumulativeAlphas)
    initialNoiseSigma = made.initialNoiseSigma
    levels = made.timesteps.indices.map { evaluation in
      let amplitudes = made.amplitudes(at: evaluation)
      let (signal, noise) = (Double(amplitudes.signal), Double(amplitudes.noise))
      let total = signal * signal + noise * noise
      return Level(
        evaluation: evaluation + 1, timestep: made.timesteps[evaluation],
        beta: Self.interpolated(training.betas, at: Double(made.timesteps[evaluation])),
        cumulativeAlpha: signal * signal / total,
        sigma: signal > 0 ? noise / signal : .infinity)
    }
  }

  /// The noise levels of a request, with the scheduler configuration of a checkpoint.
  ///
  /// - Throws: as ``init(_:_:steps:eta:overrides:)``; ``FormatError`` if the checkpoint has no
  ///   `scheduler_config.json`.
  public init(of checkpoint: ModelCheckpoint, for request: GenerationRequest) throws {
    let configuration = try DiffusionModel.scheduler(of: checkpoint)
    do {
      try self.init(
        configuration, request.scheduler ?? configuration.defaultScheduler(), steps: request.steps,
        eta: request.eta, overrides: request.sampling)
    } catch let error as FormatError {
      guard error.context == Timesteps.context else { throw error }
      throw GenerationError(.request, error.message, hint: error.hint)
    }
  }

  /// Linear between whole positions; the first or last value outside.
  private static func interpolated(_ values: [Float], at position: Double) -> Double {
    let last = values.count - 1
    let position = min(max(position, 0), Double(last))
    let lower = min(Int(position), max(last - 1, 0))
    let (low, high) = (Double(values[lower]), Double(values[min(lower + 1, last)]))
    return low + (high - low) * (position - Double(lower))
  }
}
