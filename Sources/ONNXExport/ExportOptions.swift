import ModelFormats
import ModelGraph
import OrderedJSON

/// A supported version of the ONNX operator set.
public enum Opset: Int, Sendable, Hashable, CaseIterable {
  /// The last one supported by TensorRT 8.6. Group norms and GELUs consist of older operators.
  case v17 = 17
  /// The first whose GroupNormalization scales each channel.
  case v21 = 21
  case v23 = 23

  /// The oldest file format version that supports it (ONNX `Versioning.md`), for compatibility with
  /// as many readers as possible.
  public var irVersion: Int {
    switch self {
    case .v17: 8
    case .v21: 10
    case .v23: 11
    }
  }
}

/// Options of an ONNX export.
public struct ExportOptions: Sendable, Hashable {
  /// The location of weight values.
  public enum Weights: String, Sendable, Hashable, CaseIterable {
    /// In the checkpoint's own file, to which the model refers; nothing is copied.
    case link
    /// In `model.onnx_data` next to the model, in the compute dtype.
    case copy
  }

  /// The dtype of inputs, weights and results. Models are strongly typed: TensorRT computes each
  /// node in its declared dtype.
  public enum Precision: String, Sendable, Hashable, CaseIterable {
    case f32
    /// F16, except the timestep and its sines and cosines.
    case f16

    var element: ONNXModel.Element {
      switch self {
      case .f32: .float32
      case .f16: .float16
      }
    }

    /// The dtype of copied weights.
    var dtype: DType {
      switch self {
      case .f32: .float32
      case .f16: .float16
      }
    }
  }

  /// The shape of the input `timestep` of a UNet and a ControlNet, which is F32 so that fractional timesteps work.
  public enum TimestepShape: String, Sendable, Hashable, CaseIterable {
    /// Scalar, as in optimum.
    case scalar
    /// One element, as in TensorRT's demo.
    case vector
    /// One element per image of the batch, as in ComfyUI.
    case batch
  }

  /// The opset of the models.
  public var opset = Opset.v21
  /// Where the weights are.
  public var weights = Weights.copy
  /// The names of inputs and outputs, and of the files.
  public var names = NameConvention.optimum
  /// nil selects the default of ``names``.
  public var timestep: TimestepShape?
  /// Fixed sizes of the models; nil leaves them to run time.
  public var sizes: Sizes?
  /// The precision of the weights and of the arithmetic.
  public var precision = Precision.f32
  /// Whether both halves of the VAE stay F32 in an F16 pipeline.
  public var vaeInSinglePrecision = false
  /// Whether copied weight values out of range of F16 are clamped instead of causing an error.
  public var saturate = false
  /// Whether existing files may be replaced.
  public var overwrite = false
  /// The version of the exporting program, for the model's `producer_version`.
  public var producerVersion = ""

  public init() {}

  /// The network's inputs and outputs by the convention and the choices here.
  func interface(of graph: Graph) throws(FormatError) -> Interface {
    var interface = try names.interface(of: graph)
    if let timestep { interface.timestep = timestep }
    return interface
  }

  /// The graph with all fixed sizes.
  ///
  /// - Throws: ``FormatError`` `unsupported` if the convention needs more tokens than the encoder
  ///   has positions.
  func fixed(_ graph: Graph, _ interface: Interface) throws(FormatError) -> Graph {
    var known: [Symbol: Int] = [:]
    if let sizes {
      for symbol in Symbol.allCases { known[symbol] = sizes[symbol] }
    }
    if let sequence = interface.sequence {
      if let places = graph.tokenPlaces, places < sequence {
        throw FormatError(
          .unsupported,
          "the \(names.rawValue) naming has prompts of \(sequence.of("token")), but there are places for "
            + "\(places)", context: graph.name.rawValue,
          hint: "export with \(set: .naming, "optimum")")
      }
      known[.sequence] = sequence
    }
    return known.isEmpty ? graph : graph.fixing(known)
  }

  /// The precision of the network of that graph.
  func precision(of graph: Graph) -> Precision {
    vaeInSinglePrecision && graph.traits.contains(.needsWideRange) ? .f32 : precision
  }
}

extension Graph {
  /// The number of token positions of a text encoder; nil for other networks.
  public var tokenPlaces: Int? {
    nodes.first { $0.operation == .addPositions }?.weight.flatMap { self[$0].shape.first }
  }
}
