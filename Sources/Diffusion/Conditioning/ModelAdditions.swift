import Checkpoint
import Engine
import Pictures

/// What is loaded beside a model's own networks, or put into their weights.
public struct ModelAdditions: Sendable, Hashable {
  /// An adapter and how much of it is added.
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

  /// LoRA files, added to the weights in this order.
  public var adapters: [Adapter] = []
  /// ControlNets: files, or directories with their `config.json`.
  public var controlNets: [String] = []
  /// A tiny autoencoder: a file or a directory.
  public var tinyAutoencoder: String?
  /// Whether the tiny autoencoder decodes finished pictures too, not previews alone.
  public var tinyAutoencoderDecodesAll = true
  /// Whether pictures are looked at by the safety checker, where the model has one.
  public var checksSafety = true
  /// Whether evaluations of the UNet may reuse deep features of earlier ones, which takes a second,
  /// shallow program.
  public var reusesDeepFeatures = false
  /// Thousandths of the UNet's tokens that are merged before the self-attention of its highest
  /// resolution, up to 750; none where 0. Source: Bolya and Hoffman, "Token Merging for Fast Stable
  /// Diffusion" (2023).
  public var mergedThousandths = 0
  /// How large pictures are decoded.
  public var tiling = VAETiling.automatic
  /// Whether a network's memory is given back once a picture needs it no more, and the VAE is loaded
  /// when it is first needed. For one picture: the next one loads what it needs again.
  public var releasesNetworks = false

  public init() {}
}

/// What a model has beside its own networks.
public struct AdditionalNetworks: Sendable {
  /// In the order of the request's controls.
  var controlNets: [ControlNetwork] = []
  /// `latent_sample`, as the UNet has it, to `sample` in -1...1.
  var tinyDecoder: (any Network)?
  var tinyDecodesAll = false
  /// The end of the UNet alone, from deep features that an earlier evaluation gave.
  package var shallowUNet: (any Network)?
  package var safetyChecker: PictureChecker?
  package var tiling = VAETiling.automatic
  var releasesNetworks = false
  /// In the order in which they were added to the weights.
  public internal(set) var adapters: [LoRA] = []
  /// The words of textual inversions that came in LoRA files.
  public internal(set) var bundledWords: Set<String> = []
  /// What a person should know though everything is loaded: keys of LoRA files without effect.
  public internal(set) var warnings: [String] = []

  package init() {}
}

/// What of a request concerns additional networks and approximations.
public struct NetworkSettings: Sendable, Hashable {
  /// One for each of the model's ControlNets, in their order.
  public var controls: [Control] = []
  /// Every how many evaluations the whole UNet runs; between them its deep features are those of
  /// the last whole one. 1 is exact. Source: Ma et al., "DeepCache" (2023).
  public var cacheInterval = 1
  /// The share of the evaluations, from and below, in which guidance applies; elsewhere the UNet
  /// runs on the prompt alone. Source: Kynkäänniemi et al., "Applying Guidance in a Limited
  /// Interval" (2024).
  public var guidanceInterval = 0.0...1.0

  public init() {}

  /// A picture that a ControlNet follows.
  public struct Control: Sendable, Hashable {
    /// The map as the ControlNet was trained on; resampled to the size of the drawn picture.
    public var image: Image
    /// What the ControlNet's residuals are multiplied by.
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

/// A network whose picture is in 0...1, giving it in -1...1 as VAEs do.
struct SignedPictures: Network {
  let network: any Network

  func run(
    _ inputs: [String: Value], generations: [String: Int], observer: ((StepTiming) -> Void)?
  ) throws -> [String: Value] {
    let picture = try network.run(inputs, generations: generations, observer: observer)
      .require("sample")
    return ["sample": Value(picture.reals.map { 2 * $0 - 1 }, shape: picture.shape)]
  }
}
