/// The result of an export.
public struct ExportReport: Sendable, Hashable {
  public struct Network: Sendable, Hashable {
    /// `text_encoder`, `unet`, `vae_decoder` or `vae_encoder`.
    public let name: String
    public let precision: ExportOptions.Precision
    public let modelPath: String
    /// The files with weight values.
    public let weightPaths: [String]
    public let nodes: Int
    /// The number of nodes per operator.
    public let operatorCounts: [String: Int]
    /// The number of initializers that are checkpoint weights.
    public let weights: Int
    /// Bytes of weights written; 0 if linked.
    public let bytesCopied: Int
    /// Tensors with values clamped to the F16 maximum.
    public let saturated: [Saturation]
    /// The script that builds a TensorRT engine of the model.
    public let scriptPath: String
  }

  public struct Saturation: Sendable, Hashable {
    /// The tensor's name in the checkpoint.
    public let name: String
    /// The number of its values out of range of F16.
    public let count: Int
  }

  public let networks: [Network]
  /// All files that were written.
  public let paths: [String]
}

/// The progress of an export.
public struct ExportProgress: Sendable, Hashable {
  public let network: String
  /// Bytes of the network's weights written so far, and in total.
  public let bytesDone: Int
  public let bytesTotal: Int
}
