/// What the model made of the latents at an evaluation.
public struct Prediction: Sendable {
  /// The timestep of the evaluation.
  public let timestep: Float
  /// The latents before the step, the picture's and noise in the amplitudes of the scheduler's level.
  public let latents: Latents
  let output: [Float]
  private let level: Amplitudes
  let type: SchedulerConfiguration.PredictionType

  package init(
    _ scheduler: any Scheduler, at evaluation: Int, latents: Latents, output: [Float],
    type: SchedulerConfiguration.PredictionType
  ) {
    timestep = scheduler.timesteps[evaluation]
    self.latents = latents
    self.output = output
    self.type = type
    level = scheduler.amplitudes(at: evaluation)
  }

  /// The standard deviation of the noise over that of the picture.
  public var sigma: Float { level.sigma }

  /// x_0, the latents of the picture that the model sees behind the noise.
  public var picture: Latents {
    let (values, share, spread) = mixture
    return switch type {
    case .epsilon:
      latents.with(elementwise(values, output) { ($0 - spread * $1) / max(share, 1e-4) })
    case .velocity: latents.with(elementwise(values, output) { share * $0 - spread * $1 })
    case .sample: latents.with(output)
    }
  }

  /// ε, the noise that the model predicts: of standard deviation about 1.
  public var noise: Latents {
    let (values, share, spread) = mixture
    return switch type {
    case .epsilon: latents.with(output)
    case .velocity: latents.with(elementwise(values, output) { spread * $0 + share * $1 })
    case .sample:
      latents.with(elementwise(values, output) { ($0 - share * $1) / max(spread, 1e-4) })
    }
  }

  /// x_t, the latents before the step with signal and noise as fractions of one variance, whatever
  /// the scheduler's own scale is. They can be decoded.
  public var mixed: Latents { latents.with(mixture.values) }

  /// ``mixed``, and its amplitudes of signal and noise.
  private var mixture: (values: [Float], share: Float, spread: Float) {
    let norm = (level.signal * level.signal + level.noise * level.noise).squareRoot()
    return (latents.values.map { $0 / norm }, level.signal / norm, level.noise / norm)
  }
}
