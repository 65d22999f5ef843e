import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON

/// A network to export: its graph, its weights, its configuration.
public struct NetworkSource {
  /// The graph to export.
  public let graph: Graph
  /// The bytes of `config.json`, which is written next to the model.
  public let configuration: [UInt8]?
  /// The tensor of a graph parameter, with the checkpoint's own name.
  public let tensor: (Parameter) throws(FormatError) -> Tensor
  /// The updates of a parameter's values when copied.
  public let updates: (Parameter) -> [WeightUpdate]

  public init(
    graph: Graph, configuration: [UInt8]?,
    updates: @escaping (Parameter) -> [WeightUpdate] = { _ in [] },
    tensor: @escaping (Parameter) throws(FormatError) -> Tensor
  ) {
    self.graph = graph
    self.configuration = configuration
    self.updates = updates
    self.tensor = tensor
  }

  /// The training resolution in the configuration: in latents for a UNet, in pixels for a VAE.
  var nativeSize: Int? {
    let json = configuration.flatMap { try? JSON(parsing: $0.span.bytes) }
    guard let size = json?["sample_size"]?.int else { return nil }
    let levels = json?["block_out_channels"]?.array?.count ?? 1
    let latents =
      graph.traits.contains(.isSizedInPixels) && (1...16).contains(levels)
      ? size >> (levels - 1) : size
    return (1...1024).contains(latents) ? latents : nil
  }

  /// How a text encoder's configuration defines the end of prompts; nil for other networks.
  var endOfText: EndOfText? {
    guard graph.takesTokens else { return nil }
    let json = configuration.flatMap { try? JSON(parsing: $0.span.bytes) }
    switch json?["eos_token_id"]?.int {
    case 2: return .greatestID
    case let id?: return .id(id)
    // The default in transformers' CLIPTextConfig.
    case nil: return .id(49_407)
    }
  }
}

/// A small file that is copied next to the models: of the tokenizer or scheduler.
public struct CompanionFile: Sendable, Hashable {
  /// Relative to the output directory.
  public let path: String
  /// The bytes of the file.
  public let contents: [UInt8]

  public init(path: String, contents: [UInt8]) {
    self.path = path
    self.contents = contents
  }
}
