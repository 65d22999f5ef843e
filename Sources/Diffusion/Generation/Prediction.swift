/// What the model made of the latents at an evaluation.
public struct Prediction: Sendable {
  /// The timestep of the evaluation.
  public let timestep: Float
  /// The latents before the step, the picture's and noise in the amplitudes of the scheduler's level.
  public let latents: Latents
  let output: [Float]
  private let level: Amplitudes
  let type: SchedulerConfiguration.PredictionType

  init(
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

  /// The latents of the picture that the model sees behind the noise.
  public var picture: Latents {
    // In the form in which signal and noise are shares of one variance.
    let norm = (level.signal * level.signal + level.noise * level.noise).squareRoot()
    let (share, spread) = (level.signal / norm, level.noise / norm)
    let values: [Float] =
      switch type {
      case .epsilon:
        elementwise(latents.values, output) { ($0 / norm - spread * $1) / max(share, 1e-4) }
      case .velocity: elementwise(latents.values, output) { share * $0 / norm - spread * $1 }
      case .sample: output
      }
    return latents.with(values)
  }
}
