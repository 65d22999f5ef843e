import ModelGraph

/// What an export wrote.
public struct ExportReport: Sendable, Hashable {
  public struct Network: Sendable, Hashable {
    /// The graph, as in `unet`.
    public let name: GraphName
    public let precision: ExportOptions.Precision
    public let modelPath: String
    /// The files that hold the weights' values.
    public let weightPaths: [String]
    public let nodes: Int
    /// How many nodes there are of each operator.
    public let operatorCounts: [String: Int]
    /// How many initializers are weights of the checkpoint.
    public let weights: Int
    /// Bytes of weights that were written; none where they are linked.
    public let bytesCopied: Int
    /// Tensors of which values were moved to the largest F16.
    public let saturated: [Saturation]
    /// The script that builds a TensorRT engine of the model.
    public let scriptPath: String
  }

  public struct Saturation: Sendable, Hashable {
    /// The tensor's name in the checkpoint.
    public let name: String
    /// How many of its values were beyond the largest F16.
    public let count: Int
  }

  public let networks: [Network]
  /// All files that were written.
  public let paths: [String]
}

/// How far an export is.
public struct ExportProgress: Sendable, Hashable {
  public let network: GraphName
  /// Bytes of the network's weights that are written, and that will be.
  public let bytesDone: Int
  public let bytesTotal: Int
}
