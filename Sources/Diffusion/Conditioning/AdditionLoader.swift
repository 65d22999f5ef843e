import Checkpoint
import Engine
import ModelFormats
import ModelGraph
import OrderedJSON

/// Opens additional networks and adapters of a model, checks their compatibility, and loads them.
struct AdditionLoader {
  private let additions: ModelAdditions
  private let controlNets: [Component]
  private let tiny: (component: Component, autoencoder: Autoencoder)?
  private let checker: (component: Component, preparation: PictureChecker.Preparation)?
  private let warnings: [String]
  private let adapters: [LoRA]
  /// The networks' weights with adapters applied.
  let weights: AdaptedWeights
  /// Textual inversions from LoRA files.
  let embeddings: [TextualInversion]

  /// Reads only headers and configurations.
  ///
  /// - Parameters:
  ///   - text: the text encoder's configuration.
  ///   - embeddings: the given embeddings; their words take precedence over those in LoRA files.
  /// - Throws: ``FormatError`` with the file that cannot be read or is incompatible.
  init(
    _ additions: ModelAdditions, _ checkpoint: ModelCheckpoint, _ unet: UNetConfiguration,
    _ vae: Autoencoder, _ text: CLIPTextConfiguration, _ embeddings: [TextualInversion]
  ) throws(FormatError) {
    self.additions = additions
    var warnings: [String] = []
    var adapters: [LoRA] = []
    for adapter in additions.adapters {
      let lora = try LoRA.open(
        adapter.path, scale: adapter.scale, for: checkpoint.components)
      warnings += lora.unusedSummary
      adapters.append(lora)
    }
    weights = AdaptedWeights(adapters)
    self.adapters = adapters
    self.embeddings = Self.bundled(adapters, text, embeddings, &warnings)
    var controlNets: [Component] = []
    for path in additions.controlNets {
      controlNets.append(try Self.controlNet(path, for: unet))
    }
    self.controlNets = controlNets
    tiny = try additions.tinyAutoencoder.map { (path) throws(FormatError) in
      let component = try Self.component(.tinyAutoencoder, at: path, "a tiny autoencoder (TAESD)")
      let autoencoder = try Autoencoder(component)
      guard autoencoder.latentChannels == vae.latentChannels else {
        throw FormatError(
          .mismatch,
          "its latents have \(autoencoder.latentChannels.of("channel")), but the model's have"
            + " \(vae.latentChannels)", file: path, hint: "use the one for Stable Diffusion 1.x")
      }
      return (component, autoencoder)
    }
    if additions.checksSafety, checkpoint[.safetyChecker] != nil {
      let component = try checkpoint.require(.safetyChecker)
      var preparation = PictureChecker.Preparation()
      if let file = checkpoint.file(named: "feature_extractor/preprocessor_config.json") {
        do throws(FormatError) {
          preparation = try PictureChecker.Preparation(file.jsonObject())
        } catch {
          throw error.inFile(file.location)
        }
      }
      checker = (component, preparation)
    } else {
      checker = nil
    }
    self.warnings = warnings
  }

  /// The textual inversions in LoRA files that are compatible with the text encoder.
  ///
  /// - Parameter warnings: receives the reasons for skipping others.
  private static func bundled(
    _ adapters: [LoRA], _ text: CLIPTextConfiguration, _ given: [TextualInversion],
    _ warnings: inout [String]
  ) -> [TextualInversion] {
    var result: [TextualInversion] = []
    for adapter in adapters {
      for bundled in adapter.embeddings {
        let reason: String
        do throws(FormatError) {
          let embedding = try TextualInversion(bundled, path: adapter.path)
          if (given + result).contains(where: { $0.token == embedding.token }) {
            reason = "another one has the same name"
          } else if embedding.width != text.hiddenSize {
            reason =
              "its vectors have \(embedding.width.of("component")), but the text encoder's have"
              + " \(text.hiddenSize)"
          } else if embedding.count > text.maximumPositions - 2 {
            reason = "its \(embedding.count.of("vector does", "vectors do")) not fit into a prompt"
          } else {
            result.append(embedding)
            continue
          }
        } catch {
          reason = error.message
        }
        warnings.append(
          "\(adapter.path): the textual inversion \(bundled.word) is not used: \(reason)")
      }
    }
    return result
  }

  private static func component(
    _ name: ComponentName, at path: String, _ title: String
  ) throws(FormatError) -> Component {
    let checkpoint = try ModelCheckpoint.open(path)
    guard checkpoint[name] != nil else {
      throw FormatError(
        .mismatch, "not \(title); its tensors belong to: \(Recognition(checkpoint).title)",
        file: path,
        hint: "\(do: .inspect) shows what a file contains")
    }
    if name == .controlNet { try checkpoint.refuseControlNetDifference() }
    return try checkpoint.require(name)
  }

  private static func controlNet(
    _ path: String, for unet: UNetConfiguration
  ) throws(FormatError) -> Component {
    let component = try component(.controlNet, at: path, "a ControlNet")
    let control = try DiffusionModel.configuration(of: component, ControlNetConfiguration.init)
    guard control.unet.blockChannels == unet.blockChannels,
      control.unet.layersPerBlock == unet.layersPerBlock,
      control.unet.crossAttentionWidth == unet.crossAttentionWidth
    else {
      throw FormatError(
        .mismatch, "this ControlNet is for another model: its channels or prompt width differ",
        file: path,
        hint: "the UNet has levels of \(unet.blockChannels) channels and prompts of"
          + " \(unet.crossAttentionWidth)")
    }
    return component
  }

  /// The UNet's graph with ControlNet inputs and outputs for caching.
  func unetGraph(_ component: Component) throws(FormatError) -> Graph {
    let graph = try wholeGraph(component)
    guard additions.reusesDeepFeatures else { return graph }
    guard let node = Self.lastUpLayer(graph),
      let giving = graph.giving(inputOf: node, as: AdditionalNetworks.deepFeatures)
    else { throw Self.noDeepFeatures(component) }
    return giving
  }

  /// The UNet's graph with ControlNet inputs.
  private func wholeGraph(_ component: Component) throws(FormatError) -> Graph {
    let graph =
      controlNets.isEmpty ? try component.graph(.unet) : try component.graphWithResidualInputs()
    guard additions.mergedThousandths > 0 else { return graph }
    guard let merging = graph.mergingTokens(thousandths: additions.mergedThousandths) else {
      throw FormatError(
        .unsupported, "this UNet has no attention at its highest resolution to merge tokens for",
        file: component.path, hint: "omit \(set: .tokenMerging)")
    }
    return merging
  }

  private static func noDeepFeatures(_ component: Component) -> FormatError {
    FormatError(
      .unsupported, "this UNet has no deep features apart from its last layer",
      file: component.path, hint: "omit \(set: .cacheInterval)")
  }

  /// The last up layer, by the node that joins it with its skip connection.
  static func lastUpLayer(_ graph: Graph) -> String? {
    graph.nodes.last { $0.operation == .concatenate }?.name
  }

  /// Loads everything.
  func load(
    _ unet: Component, _ sizes: Sizes, _ factory: NetworkFactory,
    _ progress: ((DiffusionModel.LoadProgress) -> Void)?
  ) throws -> AdditionalNetworks {
    var result = AdditionalNetworks()
    result.warnings = warnings
    result.adapters = adapters
    result.bundledWords = Set(embeddings.map(\.token))
    result.releasesNetworks = additions.releasesNetworks
    func network(
      _ component: Component, _ graph: Graph, _ sizes: Sizes, constant: Set<String>? = nil
    ) throws -> any Network {
      func report(loaded: Int, total: Int) {
        progress?(
          DiffusionModel.LoadProgress(component: component.name, loaded: loaded, total: total))
      }
      return try factory.network(
        graph, sizes: sizes, constantInputs: constant,
        parameters: { try weights.tensor(named: $0, of: component) }, progress: report)
    }
    for component in controlNets {
      let graph = try component.graph(.controlNet)
      let network = try network(
        component, graph, sizes, constant: ["encoder_hidden_states", "controlnet_cond"])
      result.controlNets.append(ControlNetwork(network, graph: graph))
    }
    if additions.reusesDeepFeatures {
      let graph = try wholeGraph(unet)
      guard let node = Self.lastUpLayer(graph),
        let shallow = graph.taking(inputOf: node, as: AdditionalNetworks.deepFeatures)
      else { throw Self.noDeepFeatures(unet) }
      result.shallowUNet = try network(unet, shallow, sizes)
    }
    var single = sizes
    single.batch = 1
    if let (component, autoencoder) = tiny {
      result.tinyDecoder = autoencoder.decoder(
        try network(component, autoencoder.decoderGraph, single))
      result.tinyDecodesAll = additions.tinyAutoencoderDecodesAll
    }
    if let (component, preparation) = checker {
      result.safetyChecker = try PictureChecker(component, preparation) { graph in
        // The precision of the checker matches the reference, whatever the images use.
        try factory.inSinglePrecision.network(
          graph, sizes: single, parameters: { try component.tensor(named: $0) })
      }
    }
    return result
  }
}

extension PictureChecker {
  /// - Parameter load: creates a network from the component's graph.
  package init(
    _ component: Component, _ preparation: Preparation, load: (Graph) throws -> any Network
  ) throws {
    let configuration = try DiffusionModel.configuration(
      of: component, SafetyCheckerConfiguration.init)
    func values(_ name: String, _ shape: [Int]) throws(FormatError) -> [Float] {
      guard let tensor = component[name], tensor.shape == Shape(shape) else {
        throw FormatError(
          .mismatch, "the safety checker has no tensor \(name) of shape \(Shape(shape))",
          file: component.path, context: name,
          hint: "take safety_checker/ from the model's own repository, or give"
            + " \(set: .safetyChecker, "off")")
      }
      var values: [Float] = []
      try tensor.withPieces(as: .float32) { bytes in
        for index in stride(from: 0, to: bytes.count, by: 4) {
          values.append(bytes.loadUnaligned(fromByteOffset: index, as: Float.self))
        }
      }
      return values
    }
    func concepts(_ name: String, _ count: Int) throws(FormatError) -> Concepts {
      let width = configuration.projectionWidth
      let rows = try values(name, [count, width])
      return Concepts(
        vectors: (0..<count).map { Self.unit(Array(rows[$0 * width..<($0 + 1) * width])) },
        thresholds: try values(name + "_weights", [count]))
    }
    self.init(
      try load(component.graph(.safetyChecker)), side: configuration.pictureSize,
      preparation: preparation,
      concepts: try concepts("concept_embeds", SafetyCheckerConfiguration.conceptCount),
      specialCare: try concepts(
        "special_care_embeds", SafetyCheckerConfiguration.specialCareCount))
  }
}
