import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON

/// A network to be exported: its graph, its weights, its configuration.
public struct NetworkSource {
  /// The graph to export.
  public let graph: Graph
  /// The bytes of `config.json`, which is put beside the model.
  public let configuration: [UInt8]?
  /// The tensor that is a parameter of the graph, under the checkpoint's own name.
  public let tensor: (Parameter) throws(FormatError) -> Tensor
  /// What is added to a parameter's values where they are copied.
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

  /// Rows and columns of the latents that the network was trained on, as its configuration says:
  /// a UNet's in latents, a VAE's in pixels.
  var nativeSize: Int? {
    let json = configuration.flatMap { try? JSON(parsing: $0.span.bytes) }
    guard let size = json?["sample_size"]?.int else { return nil }
    let levels = json?["block_out_channels"]?.array?.count ?? 1
    let latents =
      graph.traits.contains(.isSizedInPixels) && (1...16).contains(levels)
      ? size >> (levels - 1) : size
    return (1...1024).contains(latents) ? latents : nil
  }

  /// How a text encoder's configuration says where prompts end; nil for other networks.
  var endOfText: EndOfText? {
    guard graph.takesTokens else { return nil }
    let json = configuration.flatMap { try? JSON(parsing: $0.span.bytes) }
    switch json?["eos_token_id"]?.int {
    case 2: return .greatestID
    case let id?: return .id(id)
    // The default of transformers' CLIPTextConfig.
    case nil: return .id(49_407)
    }
  }
}

/// A small file that is put beside the models as it is: of the tokenizer, of the scheduler.
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
