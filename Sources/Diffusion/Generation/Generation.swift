import Pictures

/// A picture and how it came about.
public struct Generation: Sendable {
  /// The image; black if the safety checker flagged it.
  public internal(set) var image: Image
  /// The latents that were decoded, before they were scaled for the VAE.
  public let latents: Latents
  /// The noise that was started from, of standard deviation 1.
  public internal(set) var noise: Latents
  /// What the text encoder read of the prompt, and what did not fit.
  public let prompt: PromptEncoding
  /// What it read of the negative prompt; nil without guidance.
  public let negativePrompt: PromptEncoding?
  /// The text encoder's output, of the first pass.
  package internal(set) var conditioning: Conditioning
  /// The scheduler that was used: the request's, or the model's own.
  public let scheduler: SchedulerDescriptor
  /// What the safety checker found; nil where no checker looked.
  public internal(set) var safety: SafetyVerdict?
  /// Where the time went.
  public internal(set) var timings: GenerationTimings
}

/// Where the time went, in seconds.
public struct GenerationTimings: Sendable, Hashable {
  /// Loading the model.
  public internal(set) var load = 0.0
  /// Encoding the prompts.
  public internal(set) var textEncoder = 0.0
  /// One for each evaluation of the UNet.
  public internal(set) var unet: [Double] = []
  /// The scheduler's own arithmetic.
  public internal(set) var scheduler = 0.0
  /// Decoding the latents.
  public internal(set) var vae = 0.0
  /// All of the above, and what lies between; without `load`.
  public internal(set) var total = 0.0
}
