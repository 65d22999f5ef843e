import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import OrderedJSON

extension DiffusionModel {
  /// How far loading has come.
  public struct LoadProgress: Sendable {
    /// The component that is being loaded, as in `unet`.
    public let component: ComponentName
    /// How many of its parameters are loaded.
    public let loaded: Int
    /// All of its parameters.
    public let total: Int
  }

  /// Loads the text encoder, the UNet and the VAE's decoder of a checkpoint.
  ///
  /// - Parameters:
  ///   - engine: what computes the networks.
  ///   - width: the picture's width for which to make the networks ready; the model's own where
  ///     nil. So is `height`. Other sizes can be drawn too.
  ///   - embeddings: what stands for learned vectors in prompts.
  ///   - isGuided: whether the UNet will mostly run on prompt and negative prompt together; one that
  ///     takes the guidance scale as an embedding never does.
  ///   - batch: how many pictures will mostly be drawn at once.
  ///   - additions: what is loaded beside the model's own networks.
  /// - Throws: ``FormatError`` where the checkpoint lacks a component or the tokenizer, or a
  ///   configuration is not supported; ``EngineError``.
  public init(
    _ checkpoint: ModelCheckpoint, options: EngineOptions = EngineOptions(),
    engine: NetworkEngine = .native, width: Int? = nil, height: Int? = nil, isGuided: Bool = true,
    batch: Int = 1, embeddings: [TextualInversion] = [],
    additions: ModelAdditions = ModelAdditions(),
    progress: ((LoadProgress) -> Void)? = nil
  ) throws {
    let start = ContinuousClock.now
    let factory = try NetworkFactory(engine, options)
    // Everything small is checked before gigabytes are read.
    let components = try ComponentName.required.map { (name) throws(FormatError) in
      try checkpoint.require(name)
    }
    let textEncoder = try Self.configuration(of: components[0], CLIPTextConfiguration.init)
    let unet = try Self.configuration(of: components[1], UNetConfiguration.init)
    let vae = try Autoencoder(components[2])
    try Self.check(unet, against: vae, textEncoder, path: checkpoint.path)
    let extras = try AdditionLoader(
      additions, checkpoint, unet, vae, textEncoder, embeddings)
    let embeddings = embeddings + extras.embeddings
    let tokenizer = try Self.tokenizer(of: checkpoint)
    try tokenizer.definition.check(
      embeddings: textEncoder.vocabularySize, of: checkpoint.path)
    let tokenLimit = tokenizer.length(positions: textEncoder.maximumPositions)
    let scheduler = try Self.scheduler(of: checkpoint)

    let prompts = Sizes(
      batch: isGuided && unet.guidanceWidth == nil ? 2 : 1,
      height: (height ?? unet.sampleSize * Self.downsampling) / 8,
      width: (width ?? unet.sampleSize * Self.downsampling) / 8,
      sequence: textEncoder.maximumPositions)
    var sizes = prompts
    sizes.batch *= batch
    func network(
      _ component: Component, _ graph: Graph, _ sizes: Sizes,
      _ parameters: ((String) throws -> Tensor)? = nil
    ) throws -> any Network {
      func report(loaded: Int, total: Int) {
        progress?(LoadProgress(component: component.name, loaded: loaded, total: total))
      }
      return try factory.network(
        graph, sizes: sizes,
        parameters: parameters ?? { try extras.weights.tensor(named: $0, of: component) },
        progress: report)
    }
    let table = try PromptTable(
      components[0], textEncoder, embeddings, length: tokenLimit, weights: extras.weights)
    // A network, or where it is released after its work one that can be loaded again.
    func releasable(
      _ network: any Network, _ graph: Graph, _ sizes: Sizes,
      _ parameters: @escaping @Sendable (String) throws -> Tensor
    ) -> any Network {
      guard additions.releasesNetworks else { return network }
      return LazyNetwork(network) {
        try factory.network(graph, sizes: sizes, parameters: parameters)
      }
    }
    let (vaeComponent, weights) = (components[2], extras.weights)
    let codec =
      additions.releasesNetworks
      // It comes when the others are gone.
      ? try LatentCodec(
        vaeComponent, vae, factory, height: sizes.height, width: sizes.width,
        tiling: additions.tiling, parameters: { try weights.tensor(named: $0, of: vaeComponent) })
      : try LatentCodec(
        loading: vaeComponent, vae, factory, height: sizes.height, width: sizes.width,
        tiling: additions.tiling, parameters: { try weights.tensor(named: $0, of: vaeComponent) },
        progress: { progress?(LoadProgress(component: vaeComponent.name, loaded: $0, total: $1)) })
    let unetComponent = components[1]
    let unetGraph = try extras.unetGraph(unetComponent)
    self.init(
      tokenizer: tokenizer,
      textEncoder: releasable(
        try network(components[0], table.graph, prompts, table.tensor(named:)), table.graph,
        prompts,
        { try table.tensor(named: $0) }),
      unet: releasable(
        try network(unetComponent, unetGraph, sizes), unetGraph, sizes,
        { try weights.tensor(named: $0, of: unetComponent) }),
      codec: codec, scheduler: scheduler, tokenLimit: tokenLimit, sampleSize: unet.sampleSize,
      loadSeconds: (ContinuousClock.now - start).seconds, embeddings: embeddings,
      vocabularySize: textEncoder.vocabularySize, textLayers: textEncoder.layers,
      unetChannels: unet.inputChannels, guidanceWidth: unet.guidanceWidth)
    self.additions = try extras.load(components[1], sizes, factory, progress)
  }

  static func configuration<Network>(
    of component: Component, _ read: (JSONObject) throws(GraphError) -> Network
  ) throws(FormatError) -> Network {
    guard let configuration = component.configuration else {
      throw FormatError(
        .mismatch, "the \(component.name.title) has no config.json", file: component.path)
    }
    do throws(GraphError) {
      return try read(configuration.object)
    } catch {
      throw FormatError(
        .unsupported, error.message, file: configuration.path, context: error.field)
    }
  }

  /// The three networks must take what the one before gives.
  private static func check(
    _ unet: UNetConfiguration, against vae: Autoencoder, _ text: CLIPTextConfiguration,
    path: String
  ) throws(FormatError) {
    func refuse(_ message: String, _ hint: Remedy) -> FormatError {
      FormatError(
        .unsupported, message, file: path, context: ComponentName.unet.rawValue, hint: hint)
    }
    let inputs = UNetInputs(channels: unet.inputChannels, latents: vae.latentChannels)
    if let refusal = inputs.refusal {
      throw FormatError(
        .unsupported, refusal.message, file: path, context: "in_channels", hint: refusal.hint)
    }
    guard inputs != .unknown(unet.inputChannels), unet.outputChannels == vae.latentChannels else {
      throw refuse(
        "the UNet has \(unet.inputChannels) input and \(unet.outputChannels.of("output channel")), but"
          + " the VAE's latents have \(vae.latentChannels)",
        "check that the components belong to the same model")
    }
    guard unet.crossAttentionWidth == text.hiddenSize else {
      throw refuse(
        "the UNet's context width is \(unet.crossAttentionWidth), but the text encoder's hidden size is"
          + " \(text.hiddenSize)",
        "check that the components belong to the same model")
    }
    guard text.maximumPositions >= 2 else {
      throw refuse("the text encoder allows fewer than two tokens", "check its config.json")
    }
  }

  /// The scheduler's configuration, as a repository holds it.
  ///
  /// - Throws: ``FormatError`` where there is none, or it cannot be honoured.
  static func scheduler(
    of checkpoint: ModelCheckpoint
  ) throws(FormatError) -> SchedulerConfiguration {
    let file = try file("scheduler/scheduler_config.json", of: checkpoint)
    do throws(FormatError) {
      return try SchedulerConfiguration(.object(file.jsonObject()))
    } catch {
      throw error.inFile(file.location)
    }
  }

  /// The tokenizer of a repository.
  ///
  /// - Throws: ``FormatError`` where it has none, or its files are not sound.
  package static func tokenizer(
    of checkpoint: ModelCheckpoint
  ) throws(FormatError) -> Tokenizer {
    Tokenizer(try TokenizerDefinition(of: checkpoint))
  }

  static func file(
    _ path: String, of checkpoint: ModelCheckpoint
  ) throws(FormatError) -> AuxiliaryFile {
    guard let file = checkpoint.file(named: path) else {
      throw FormatError(
        .mismatch, "the checkpoint has no \(path)", file: checkpoint.path,
        hint: "use a repository directory, or a .sdflat file made from one")
    }
    return file
  }
}

extension Duration {
  /// The whole duration in seconds.
  var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
