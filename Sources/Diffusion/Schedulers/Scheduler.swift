/// Denoises latents step by step, given the model's prediction at each step.
///
/// A scheduler is made for one image (or one batch) and keeps the history that its method needs.
/// The caller evaluates the model once for each of ``timesteps``, in order, starting from the first
/// or from ``firstEvaluation(strength:steps:)``. Some methods evaluate the model more than once per
/// step.
package protocol Scheduler: Sendable {
  /// The timestep of each model evaluation.
  var timesteps: [Float] { get }

  /// The standard deviation of the initial noise.
  var initialNoiseSigma: Float { get }

  /// Evaluations per step: 1, or 2 if the method evaluates both ends or the middle of a step.
  var evaluationsPerStep: Int { get }

  /// The latents, scaled as the model expects them at an evaluation.
  func modelInput(for sample: [Float], at evaluation: Int) -> [Float]

  /// The latents after an evaluation.
  ///
  /// - Parameters:
  ///   - modelOutput: the model's prediction for ``modelInput(for:at:)``, with guidance applied.
  ///   - evaluation: an index into ``timesteps``, increasing by 1 from call to call.
  ///   - sample: the latents before, with as many elements.
  ///   - random: the source of a stochastic method's noise, one tensor per draw.
  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float]

  /// Clean latents with the noise level of an evaluation: diffusers' `add_noise`.
  ///
  /// - Parameter noise: noise with standard deviation 1 and as many elements.
  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float]

  /// The amplitudes of picture and noise in the latents of an evaluation. They differ from those of
  /// ``noised(_:with:at:)`` inside a step, where drawing cannot start.
  func amplitudes(at evaluation: Int) -> Amplitudes

  /// The first evaluation if only a fraction of the steps is run, as in img2img; the number of
  /// evaluations if no step is.
  ///
  /// - Parameters:
  ///   - strength: the fraction of the steps to run, counted from the last one, 0 to 1.
  ///   - steps: the steps that the scheduler was made for.
  func firstEvaluation(strength: Double, steps: Int) -> Int
}

/// How much image and how much noise latents contain.
public struct Amplitudes: Sendable, Hashable {
  /// The factor of the image.
  public let signal: Float
  /// The standard deviation of the noise.
  public let noise: Float

  public init(signal: Float, noise: Float) {
    self.signal = signal
    self.noise = noise
  }

  /// Noise over signal; infinite if there is no signal.
  public var sigma: Float { signal == 0 ? .infinity : noise / signal }
}

extension Scheduler {
  /// Those of noised latents.
  public func amplitudes(at evaluation: Int) -> Amplitudes {
    Amplitudes(
      signal: noised([1], with: [0], at: evaluation)[0],
      noise: noised([0], with: [1], at: evaluation)[0])
  }

  /// The latents unchanged, as models in variance-preserving form expect them.
  package func modelInput(for sample: [Float], at evaluation: Int) -> [Float] { sample }

  package var evaluationsPerStep: Int { 1 }

  /// Matches `get_timesteps` of diffusers' img2img pipeline.
  package func firstEvaluation(strength: Double, steps: Int) -> Int {
    min(skippedSteps(strength: strength, steps: steps) * evaluationsPerStep, timesteps.count)
  }

  /// The number of steps before the first one that is run.
  func skippedSteps(strength: Double, steps: Int) -> Int {
    steps - min(max(Int(Double(steps) * strength), 0), steps)
  }
}
