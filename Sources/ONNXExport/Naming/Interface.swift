import ModelGraph

/// One network's inputs, outputs and directory in a convention.
struct Interface: Sendable, Hashable {
  /// The model's directory in the output directory.
  var directory: String
  /// Names of inputs and outputs, by the graph's names, if they differ.
  var names: [String: String] = [:]
  /// Names of sizes that are known at run time; a missing one is called as the symbol is.
  var symbols: [Symbol: String] = [:]
  /// Whether eight times `H` is written `8H`, not `H * 8`.
  var multiplies = false
  var timestep = ExportOptions.TimestepShape.scalar
  /// Whether the guidance scale embedding has one row per image of the batch instead of one for all.
  var repeatsGuidance = true
  /// The type of token ids.
  var ids = ONNXModel.Element.int64
  var hasPooledOutput = true
  /// Whether the VAE encoder outputs only the means instead of means and variances.
  var givesMeans = false
  /// The number of tokens, if it is constant.
  var sequence: Int?

  init(directory: String) {
    self.directory = directory
  }

  /// optimum's names, which precede the sizes of a VAE by the first word of its input:
  /// `latent_height`, `sample_height`.
  init(optimum graph: Graph) {
    self.init(directory: graph.name.rawValue)
    let input = graph.inputs.first.map { graph[$0].name } ?? ""
    let prefix =
      graph.traits.contains(.runsOncePerImage) ? String(input.prefix { $0 != "_" }) + "_" : ""
    symbols = [
      .batch: "batch_size", .sequence: "sequence_length", .height: prefix + "height",
      .width: prefix + "width",
    ]
  }

  /// Names, shapes and types exactly as in the graph; the model is in the output directory itself.
  init(exactly graph: Graph) {
    self.init(directory: "")
    timestep = .vector
    repeatsGuidance = false
    hasPooledOutput = false
  }

  func name(_ name: String) -> String { names[name] ?? name }

  /// The shape of an input. If the convention requires it, inputs shared by all images of a batch
  /// have one row per image: the timestep, and the guidance scale embedding.
  func shape(of input: Graph.Value, in graph: Graph) -> [Dimension] {
    let batch = graph[graph.inputs[0]].shape[..<1]
    switch input.name {
    case "timestep":
      switch timestep {
      case .scalar: return []
      case .vector: return [1]
      case .batch: return Array(batch)
      }
    case "timestep_cond" where repeatsGuidance: return Array(batch + input.shape.dropFirst())
    default: return input.shape
    }
  }
}
