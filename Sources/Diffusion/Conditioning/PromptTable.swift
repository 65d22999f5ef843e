import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON

/// The text encoder with hidden states of every layer, and with vectors of textual inversions after
/// its own tokens' vectors.
struct PromptTable {
  let graph: Graph
  private let component: Component
  private let embeddings: [TextualInversion]
  private let weights: AdaptedWeights

  /// - Parameter length: the tokens per chunk, with start and end.
  /// - Throws: ``FormatError`` `mismatch` if an embedding is not for this encoder.
  init(
    _ component: Component, _ configuration: CLIPTextConfiguration,
    _ embeddings: [TextualInversion], length: Int, weights: AdaptedWeights
  ) throws(FormatError) {
    self.component = component
    self.weights = weights
    self.embeddings = embeddings
    let room = length - 2
    for embedding in embeddings {
      guard embedding.width == configuration.hiddenSize else {
        let family = TextualInversionFile.family(ofWidth: embedding.width)
        throw FormatError(
          .mismatch,
          "the embedding \(embedding.token) is \(embedding.width) wide"
            + (family.map { ", for \($0)" } ?? "") + "; this model's text encoder is "
            + "\(configuration.hiddenSize) wide", file: embedding.path,
          hint: "give an embedding that was made for this kind of model")
      }
      guard embedding.count <= room else {
        throw FormatError(
          .mismatch,
          "\(embedding.count.of("vector does", "vectors do")) not fit into a prompt's \(room.of("token"))",
          file: embedding.path)
      }
    }
    let added = embeddings.reduce(0) { $0 + $1.count }
    do throws(GraphError) {
      graph = try CLIPText.graph(configuration.adding(tokens: added), earlierLayers: true)
    } catch {
      throw FormatError(.unsupported, error.message, file: component.path, context: error.field)
    }
  }

  /// A parameter of the graph.
  func tensor(named name: String) throws -> Tensor {
    let tensor = try weights.tensor(named: name, of: component)
    guard name.hasSuffix("token_embedding.weight"), !embeddings.isEmpty, tensor.shape.rank == 2
    else { return tensor }
    let rows = tensor.shape[0] + embeddings.reduce(0) { $0 + $1.count }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * rows * tensor.shape[1])
    try tensor.withPieces(as: .float32) { bytes.append(contentsOf: $0) }
    for embedding in embeddings {
      embedding.vectors.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }
    return Tensor(
      name: name, dtype: .float32, shape: Shape([rows, tensor.shape[1]]), storage: .memory(bytes))
  }
}
