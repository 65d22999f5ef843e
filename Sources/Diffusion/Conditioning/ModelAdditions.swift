import Checkpoint
import Engine
import Pictures

/// Networks loaded in addition to a model's own, and adapters of its weights.
public struct ModelAdditions: Sendable, Hashable {
  /// An adapter and its scale.
  public struct Adapter: Sendable, Hashable {
    /// The file.
    public let path: String
    /// What its change is multiplied by.
    public let scale: Double

    public init(_ path: String, scale: Double = 1) {
      self.path = path
      self.scale = scale
    }
  }

  /// LoRA files, applied to the weights in this order.
  public var adapters: [Adapter] = []
  /// ControlNets: files, or directories with their `config.json`.
  public var controlNets: [String] = []
  /// A tiny autoencoder: a file or a directory.
  public var tinyAutoencoder: String?
  /// Whether the tiny autoencoder also decodes finished images, not only previews.
  public var tinyAutoencoderDecodesAll = true
  /// Whether the safety checker checks images, if the model has one.
  public var checksSafety = true
  /// Whether UNet evaluations may reuse deep features of earlier ones, which needs a second,
  /// shallow program.
  public var reusesDeepFeatures = false
  /// Thousandths of the UNet's tokens merged before self-attention at the highest resolution, up to
  /// 750; 0 merges none. Source: Bolya and Hoffman, "Token Merging for Fast Stable Diffusion"
  /// (2023).
  public var mergedThousandths = 0
  /// How large images are decoded.
  public var tiling = VAETiling.automatic
  /// Whether networks are freed once an image no longer needs them, and the VAE is loaded on first
  /// use. For single images: the next one must reload.
  public var releasesNetworks = false

  public init() {}
}

/// A model's additional networks.
public struct AdditionalNetworks: Sendable {
  /// In the order of the request's controls.
  var controlNets: [ControlNetwork] = []
  /// `latent_sample`, in the UNet's scale, to `sample` in -1...1.
  var tinyDecoder: (any Network)?
  var tinyDecodesAll = false
  /// The last part of the UNet only, from deep features of an earlier evaluation.
  package var shallowUNet: (any Network)?
  package var safetyChecker: PictureChecker?
  var releasesNetworks = false
  /// In the order of application.
  public internal(set) var adapters: [LoRA] = []
  /// The trigger words of textual inversions from LoRA files.
  public internal(set) var bundledWords: Set<String> = []
  /// Warnings: keys of LoRA files without effect.
  public internal(set) var warnings: [String] = []

  package init() {}
}

/// A request's settings of additional networks and approximations.
public struct NetworkSettings: Sendable, Hashable {
  /// One per ControlNet of the model, in order.
  public var controls: [Control] = []
  /// The interval of full UNet evaluations; in between, the deep features of the last full one are
  /// used. 1 is exact. Source: Ma et al., "DeepCache" (2023).
  public var cacheInterval = 1
  /// The share of the evaluations, from and below, in which guidance applies; elsewhere the UNet
  /// runs on the prompt alone. Source: Kynkäänniemi et al., "Applying Guidance in a Limited
  /// Interval" (2024).
  public var guidanceInterval = 0.0...1.0

  public init() {}

  /// The control image of a ControlNet.
  public struct Control: Sendable, Hashable {
    /// The preprocessed map; resampled to the output size.
    public var image: Image
    /// The factor of the ControlNet's residuals.
    public var scale: Float
    /// The fraction of the evaluations from which it takes part.
    public var start: Double
    /// The fraction of the evaluations up to which it takes part.
    public var end: Double

    public init(_ image: Image, scale: Float = 1, start: Double = 0, end: Double = 1) {
      self.image = image
      self.scale = scale
      self.start = start
      self.end = end
    }
  }
}

/// Wraps a network with an image in 0...1 as one with -1...1, like VAEs.
struct SignedPictures: Network {
  let network: any Network

  func run(
    _ inputs: [String: Value], inputVersions: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    let picture = try network.run(inputs, inputVersions: inputVersions, observer: observer)
      .require("sample")
    return ["sample": Value(picture.reals.map { 2 * $0 - 1 }, shape: picture.shape)]
  }
}
