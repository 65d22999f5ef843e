import Engine

/// A latent diffusion model ready to draw: its networks, and the numbers that go with them.
public struct DiffusionModel: Sendable {
  /// What makes tokens of prompts.
  public let tokenizer: Tokenizer
  /// `input_ids [batch, sequence]` to `last_hidden_state [batch, sequence, width]`.
  package let textEncoder: any Network
  /// `sample [batch, channels, h, w]`, `timestep [1]` and `encoder_hidden_states` to `out_sample`.
  package let unet: any Network
  /// The VAE: pictures to latents and back.
  package let codec: LatentCodec
  /// The channels that the UNet takes: the latents', or in an inpainting model those of latents,
  /// mask and masked picture.
  package let unetChannels: Int
  /// The width of the embedding of the guidance scale that the UNet takes as `timestep_cond`, in
  /// latent consistency models; nil where guidance is by a negative prompt.
  package let guidanceWidth: Int?
  /// How the model was trained, and its own scheduler.
  public let scheduler: SchedulerConfiguration
  /// ControlNets, a tiny autoencoder, the safety checker: what was loaded beside the three.
  public package(set) var additions = AdditionalNetworks()

  // Prompts.
  /// What stands for learned vectors in prompts.
  public let embeddings: [TextualInversion]
  /// The text encoder's tokens, without the vectors of ``embeddings``, which have the ids from
  /// there on; and its layers.
  package let vocabularySize: Int
  package let textLayers: Int
  /// The tokens that the text encoder takes, 77 for Stable Diffusion.
  package let tokenLimit: Int
  /// Channels of the latents, 4 for Stable Diffusion.
  public var latentChannels: Int { codec.latentChannels }
  /// The side of the latents that the UNet was trained on, 64 for Stable Diffusion v1.5.
  package let sampleSize: Int
  /// Seconds that loading took.
  public let loadSeconds: Double

  /// Whether the UNet runs on prompt and negative prompt together for a request.
  package func isGuided(_ request: GenerationRequest) -> Bool {
    guidanceWidth == nil && request.isGuided
  }

  /// How many pixels a latent is wide and high.
  package static let downsampling = 8

  /// The side of a picture where nothing else is asked for.
  public var defaultSide: Int { sampleSize * Self.downsampling }

  package init(
    tokenizer: Tokenizer, textEncoder: any Network, unet: any Network, codec: LatentCodec,
    scheduler: SchedulerConfiguration, tokenLimit: Int = 77, sampleSize: Int,
    loadSeconds: Double = 0, embeddings: [TextualInversion] = [], vocabularySize: Int = 49_408,
    textLayers: Int = 12, unetChannels: Int? = nil, guidanceWidth: Int? = nil
  ) {
    self.tokenizer = tokenizer
    self.textEncoder = textEncoder
    self.unet = unet
    self.codec = codec
    self.unetChannels = unetChannels ?? codec.latentChannels
    self.guidanceWidth = guidanceWidth
    self.scheduler = scheduler
    self.tokenLimit = tokenLimit
    self.embeddings = embeddings
    self.vocabularySize = vocabularySize
    self.textLayers = textLayers
    self.sampleSize = sampleSize
    self.loadSeconds = loadSeconds
  }
}
