import ModelGraph

/// What an export wrote.
public struct ExportReport: Sendable, Hashable {
  /// What was written for a network.
  public struct Network: Sendable, Hashable {
    /// The name of its graph, such as `unet`.
    public let name: GraphName
    /// Its precision.
    public let precision: ExportOptions.Precision
    /// Its model file, relative to the output directory.
    public let modelPath: String
    /// The files with weight values.
    public let weightPaths: [String]
    /// How many nodes its graph has.
    public let nodes: Int
    /// The number of nodes per operator.
    public let operatorCounts: [String: Int]
    /// The number of initializers that are checkpoint weights.
    public let weights: Int
    /// Bytes of weights written; 0 if linked.
    public let bytesCopied: Int
    /// Tensors with values clamped to the F16 maximum.
    public let saturated: [Saturation]
    /// The script that builds a TensorRT engine of the model; nil if none was written.
    public let scriptPath: String?

    init(
      _ model: ONNXModel, of graph: Graph, _ precision: ExportOptions.Precision,
      _ placement: WeightPlacement, saturated: [Saturation], scriptPath: String?
    ) {
      name = graph.name
      self.precision = precision
      modelPath = placement.modelPath
      weightPaths = placement.weightPaths
      nodes = model.nodes.count
      operatorCounts = model.operatorCounts
      weights = Set(placement.initializers.map(\.name)).count
      bytesCopied = placement.copySize
      self.saturated = saturated
      self.scriptPath = scriptPath
    }
  }

  /// A tensor whose values were saturated.
  public struct Saturation: Sendable, Hashable {
    /// The tensor's name in the checkpoint.
    public let name: String
    /// How many of its values were beyond the largest F16.
    public let count: Int
  }

  /// Each network.
  public let networks: [Network]
  /// All files that were written.
  public let paths: [String]
}

/// The progress of an export.
public struct ExportProgress: Sendable, Hashable {
  /// The network being written.
  public let network: GraphName
  /// Bytes of the network's weights that are written, and that will be.
  public let bytesDone: Int
  /// All bytes of weights.
  public let bytesTotal: Int
}
