import ModelFormats
import Pictures

/// What picture to draw.
public struct GenerationRequest: Sendable, Hashable {
  /// The most bytes of a prompt, and of a negative prompt: over a hundred times what is usual.
  public static let promptLimit = 16_384

  public var prompt: String
  /// What the picture should not show; no effect without guidance, nor where the UNet takes the
  /// guidance scale as an embedding.
  public var negativePrompt = ""
  public var steps = 25
  /// How much further to go from the negative prompt towards the prompt: Ho and Salimans,
  /// "Classifier-Free Diffusion Guidance" (2022). Up to 1 the negative prompt is left out.
  public var guidanceScale: Float = 7.5
  public var seed: UInt64 = 0
  /// A second noise that is mixed with the seed's.
  public var variation: NoiseVariation?
  /// The size whose noise is in the middle of the noise that is drawn; the image's own if nil.
  public var seedSize: SeedSize?
  /// Pixels, a multiple of 8; the model's own size where nil.
  public var width: Int?
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
  /// A second pass at a larger size; see `draw(_:progress:observer:)`.
  public var enlargement: Enlargement?
  /// In a second pass, the steps of the first, from which prompts that change count on.
  var firstPassSteps: Int?
  /// What concerns additional networks and approximations.
  public var networks = NetworkSettings()

  public init(prompt: String) {
    self.prompt = prompt
  }

  /// Whether the UNet runs on prompt and negative prompt together, where it does not take the
  /// guidance scale as an embedding.
  public var isGuided: Bool { guidanceScale > 1 }

  /// Whether it differs from another in seeds and noise alone.
  func isLike(_ other: GenerationRequest) -> Bool {
    var other = other
    (other.seed, other.noise, other.variation) = (seed, noise, variation)
    return self == other
  }
}

/// A picture and how it came about.
public struct Generation: Sendable {
  public internal(set) var image: Image
  /// The latents that were decoded, before they were scaled for the VAE.
  public let latents: Latents
  /// The noise that was started from, of standard deviation 1.
  public internal(set) var noise: Latents
  /// What the text encoder read, and what of the prompts did not fit.
  public let prompt: PromptEncoding
  public let negativePrompt: PromptEncoding?
  public let scheduler: SchedulerDescriptor
  /// What the safety checker found; nil where no checker looked.
  public var safety: SafetyVerdict?
  public internal(set) var timings: GenerationTimings
}

/// Where the time went, in seconds.
public struct GenerationTimings: Sendable, Hashable {
  public var load = 0.0
  public var textEncoder = 0.0
  /// One for each evaluation of the UNet.
  public var unet: [Double] = []
  public var scheduler = 0.0
  public var vae = 0.0
  /// All of the above, and what lies between; without `load`.
  public var total = 0.0
}

/// How far a picture has come.
public struct GenerationProgress: Sendable {
  public enum Stage: Sendable, Hashable {
    /// The prompt is about to be encoded.
    case encoding
    /// The UNet has been evaluated once more, or is about to be for the first time.
    case denoising
    /// The latents are about to be decoded.
    case decoding
  }

  public let stage: Stage
  /// Evaluations of the UNet so far, and all of them.
  public let evaluations: Int
  public let total: Int
  /// The latents so far; before the first evaluation the scaled noise.
  public let latents: Latents
  /// What the model made of the latents at the evaluation that has just been.
  public let prediction: Prediction?
}

/// Why a picture was not drawn though the model is sound.
public struct GenerationError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Code: String, Sendable, Hashable {
    /// The progress callback asked to stop.
    case cancelled
    /// The request cannot be met as it stands.
    case request
    /// A network gave infinite numbers or NaN.
    case notFinite = "not-finite"
  }

  public let code: Code
  public let message: String
  public let hint: Remedy?

  public init(_ code: Code, _ message: String, hint: Remedy? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  public var description: String { message }
}
