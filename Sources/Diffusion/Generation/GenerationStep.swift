/// One step in the making of images: what has just been computed, and what comes next.
///
/// A step computes nothing: its latents are there, and they become an image only when it is asked for
/// with ``ImageGenerator/preview(of:)``. For images that are generated together, each has its own
/// steps, in turn.
public struct GenerationStep: Sendable {
  /// What a step is about.
  public enum Stage: Sendable, Hashable, CaseIterable {
    /// The prompt is about to be encoded.
    case encoding
    /// The UNet has been evaluated once more, or is about to be evaluated for the first time.
    case denoising
    /// The latents are about to be decoded.
    case decoding
    /// The image is finished: ``result`` has it.
    case finished
  }

  /// What the step is about.
  public let stage: Stage
  /// The index of the image among those that were asked for.
  public internal(set) var imageIndex: Int
  /// 1, or 2 in the second pass of a ``HiresPass``.
  public let pass: Int
  /// Evaluations of the UNet so far in this pass. Some schedulers need two for each step.
  public let evaluation: Int
  /// All evaluations of the UNet in this pass.
  public let evaluationCount: Int
  /// The latents so far; before the first evaluation the scaled noise.
  public let latents: Latents
  /// What the model made of the latents in the evaluation that has just been; nil in other stages and
  /// before the first evaluation.
  public let prediction: Prediction?
  /// The finished image; nil before.
  public internal(set) var result: Generation?

  /// The timestep of the evaluation that has just been; nil if there was none.
  public var timestep: Float? { prediction?.timestep }
}
