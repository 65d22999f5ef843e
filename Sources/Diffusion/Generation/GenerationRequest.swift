import ModelFormats

/// What picture to draw.
public struct GenerationRequest: Sendable, Hashable {
  /// The most bytes of a prompt, and of a negative prompt: over a hundred times what is usual.
  public static let promptLimit = 16_384

  /// What the picture shows, in the prompt syntax that ``promptStyle`` chooses.
  public var prompt: String
  /// What the picture should not show; no effect without guidance, nor where the UNet takes the
  /// guidance scale as an embedding.
  public var negativePrompt = ""
  /// Steps of the scheduler, of which each takes one or more evaluations of the UNet.
  public var steps = 25
  /// How much further to go from the negative prompt towards the prompt: Ho and Salimans,
  /// "Classifier-Free Diffusion Guidance" (2022). Up to 1 the negative prompt is left out.
  public var guidanceScale: Float = 7.5
  /// The seed of the noise, for ``randomSource``.
  public var seed: UInt64 = 0
  /// A second noise that is mixed with the seed's; nil for none.
  public var variation: NoiseVariation?
  /// The size whose noise is placed in the middle of the noise to start from; the image's own if nil.
  public var seedSize: SeedSize?
  /// Width in pixels, a multiple of 8; the model's own if nil.
  public var width: Int?
  /// Height in pixels, a multiple of 8; the model's own if nil.
  public var height: Int?
  /// The repository's own where nil.
  public var scheduler: SchedulerDescriptor?
  /// How both prompts are read.
  public var promptStyle = PromptStyle()
  // Sampling.
  /// See ``SchedulerDescriptor/eta``; the scheduler's default if nil.
  public var eta: Float?
  /// What is changed of the model's scheduler configuration.
  public var sampling = SamplingOverrides()
  /// Where noise comes from.
  public var randomSource = RandomSourceName.torch
  /// The noise to start from, of standard deviation 1 and one picture, instead of the seed's.
  public var noise: Latents?
  /// A picture to start from, or to paint a part of anew.
  public var initial: InitialPicture?
  /// A second pass at a larger size.
  public var hiresPass: HiresPass?
  /// In a second pass, the steps of the first, from which changing prompts continue.
  var firstPassSteps: Int?
  /// What concerns additional networks and approximations.
  public var networks = NetworkSettings()

  /// A request with the defaults of the properties.
  public init(prompt: String) {
    self.prompt = prompt
  }

  /// Whether the UNet runs on prompt and negative prompt together, where it does not take the
  /// guidance scale as an embedding.
  public var isGuided: Bool { guidanceScale > 1 }

  /// Whether it differs from another in seeds and noise alone.
  func differsOnlyInNoise(from other: GenerationRequest) -> Bool {
    var other = other
    (other.seed, other.noise, other.variation) = (seed, noise, variation)
    return self == other
  }
}
