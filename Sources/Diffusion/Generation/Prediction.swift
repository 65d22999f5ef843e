/// What the model made of the latents at an evaluation.
public struct Prediction: Sendable {
  /// The timestep of the evaluation.
  public let timestep: Float
  /// The latents before the step, which are `signal` times the picture's and `noise` times noise.
  public let latents: Latents
  let output: [Float]
  let signal: Float
  let noise: Float
  let type: SchedulerConfiguration.PredictionType

  init(
    _ scheduler: any Scheduler, at evaluation: Int, latents: Latents, output: [Float],
    type: SchedulerConfiguration.PredictionType
  ) {
    timestep = scheduler.timesteps[evaluation]
    self.latents = latents
    self.output = output
    self.type = type
    signal = scheduler.noised([1], with: [0], at: evaluation)[0]
    noise = scheduler.noised([0], with: [1], at: evaluation)[0]
  }

  /// The standard deviation of the noise over that of the picture.
  public var sigma: Float { signal == 0 ? .infinity : noise / signal }

  /// The latents of the picture that the model sees behind the noise.
  public var picture: Latents {
    // In the form in which signal and noise are shares of one variance.
    let norm = (signal * signal + noise * noise).squareRoot()
    let (share, spread) = (signal / norm, noise / norm)
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
