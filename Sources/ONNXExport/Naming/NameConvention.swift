import ModelFormats
import ModelGraph

/// The naming convention of a model's inputs, outputs and directory.
public enum NameConvention: String, Sendable, Hashable, CaseIterable {
  /// optimum's exporter, loaded by ORTStableDiffusionPipeline. Networks that it does not export have
  /// the names of diffusers' arguments.
  case optimum
  /// TensorRT's demo (`demo/Diffusion`), which finds the models in its `--onnx-dir`.
  case nvidia
  /// ComfyUI's TensorRT nodes, which run the UNet only.
  case comfy

  /// Whether it has names for the network of the graph with this name.
  public func covers(_ network: GraphName) -> Bool { entries?[network] != nil || entries == nil }

  /// The interface of the network.
  ///
  /// - Throws: ``FormatError`` `unsupported` if the convention has no such network.
  func interface(of graph: Graph) throws(FormatError) -> Interface {
    guard let entries else { return Interface(optimum: graph) }
    guard let entry = entries[graph.name] else {
      let known = NameConvention.order.filter(covers).map(\.rawValue).joined(separator: ",")
      throw FormatError(
        .unsupported, limits, context: graph.name.rawValue,
        hint: "export it with \(set: .naming, "optimum"), or choose \(set: .components, known)")
    }
    var interface = Interface(directory: entry.directory)
    interface.names = entry.names
    interface.symbols = entry.symbols
    interface.givesMeans = entry.givesMeans
    switch self {
    case .optimum: break
    case .nvidia:
      interface.multiplies = true
      interface.timestep = .vector
      interface.ids = .int32
      interface.hasPooledOutput = false
      interface.sequence = 77
    case .comfy:
      interface.timestep = .batch
    }
    return interface
  }

  private var limits: String {
    switch self {
    case .optimum: "optimum's convention names every network"
    case .nvidia: "the convention of TensorRT's demo only names the text encoder, UNet and VAE"
    case .comfy: "ComfyUI's convention only names the UNet"
    }
  }

  /// The networks of other tools, in the order in which an image needs them.
  private static let order: [GraphName] = [.textEncoder, .unet, .vaeDecoder, .vaeEncoder]

  /// What a tool calls one network.
  private struct Entry {
    let directory: String
    let names: [String: String]
    let symbols: [Symbol: String]
    var givesMeans = false
  }

  /// The networks that it names; nil if a graph's own names are used.
  private var entries: [GraphName: Entry]? {
    switch self {
    case .optimum: nil
    case .nvidia: NameConvention.demonstration
    case .comfy: NameConvention.nodes
    }
  }

  private static let sides: [Symbol: String] = [.batch: "B", .height: "H", .width: "W"]

  private static let demonstration: [GraphName: Entry] = [
    .textEncoder: Entry(
      directory: "clip.opt", names: ["last_hidden_state": "text_embeddings"], symbols: sides),
    .unet: Entry(
      directory: "unet.opt", names: ["out_sample": "latent"],
      symbols: sides.merging([.batch: "2B"]) { $1 }),
    .vaeDecoder: Entry(
      directory: "vae.opt", names: ["latent_sample": "latent", "sample": "images"],
      symbols: sides),
    .vaeEncoder: Entry(
      directory: "vae_encoder.opt", names: ["sample": "images", "latent_parameters": "latent"],
      symbols: sides, givesMeans: true),
  ]

  private static let nodes: [GraphName: Entry] = [
    .unet: Entry(
      directory: GraphName.unet.rawValue,
      names: [
        "sample": "x", "timestep": "timesteps", "encoder_hidden_states": "context",
        "out_sample": "h",
      ],
      symbols: [.batch: "batch", .sequence: "num_embeds"])
  ]
}
