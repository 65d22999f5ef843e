import ModelFormats
import ModelGraph
import OrderedJSON

/// A version of ONNX's operator set that is written.
public enum Opset: Int, Sendable, Hashable, CaseIterable {
  /// The last that TensorRT 8.6 takes. Group norms and GELUs are spelled out in older operators.
  case v17 = 17
  /// The first whose GroupNormalization scales each channel.
  case v21 = 21
  case v23 = 23

  /// The oldest version of the file format that holds it (ONNX `Versioning.md`), so that as many
  /// readers as possible take the file.
  public var irVersion: Int {
    switch self {
    case .v17: 8
    case .v21: 10
    case .v23: 11
    }
  }
}

/// How a network is written as ONNX.
public struct ExportOptions: Sendable, Hashable {
  /// Where the values of the weights lie.
  public enum Weights: String, Sendable, Hashable, CaseIterable {
    /// In the checkpoint's own file, which the model points into; nothing is copied.
    case link
    /// In `model.onnx_data` beside the model, in the type that the network computes in.
    case copy
  }

  /// The type of inputs, weights and results. Models are strongly typed: TensorRT computes each
  /// node in the type that it is given.
  public enum Precision: String, Sendable, Hashable, CaseIterable {
    case f32
    /// F16 but for the timestep and its sines and cosines.
    case f16

    var element: ONNXModel.Element {
      switch self {
      case .f32: .float32
      case .f16: .float16
      }
    }
  }

  /// The shape of the UNet's input `timestep`, which is F32 so that fractional timesteps work.
  public enum TimestepShape: String, Sendable, Hashable, CaseIterable {
    /// No dimensions, as optimum exports it.
    case scalar
    /// One element, as TensorRT's demonstration has it.
    case vector
    /// An element for each image of the batch, as ComfyUI has it.
    case batch
  }

  public var opset = Opset.v21
  public var weights = Weights.copy
  public var names = NameConvention.optimum
  /// nil takes what goes with ``names``.
  public var timestep: TimestepShape?
  /// Sizes that the models are made for; nil leaves them to be chosen at run time.
  public var sizes: Sizes?
  public var precision = Precision.f32
  /// Whether both halves of the VAE stay F32 in a pipeline of F16.
  public var vaeInSinglePrecision = false
  /// Whether values of weights beyond the largest F16 become that value instead of an error, where
  /// they are copied.
  public var saturate = false
  /// Whether files that exist may be replaced.
  public var overwrite = false
  /// The version of the program that exports, for the model's `producer_version`.
  public var producerVersion = ""

  public init() {}

  /// The network's inputs and outputs by the convention and the choices here.
  func interface(of network: String) throws(FormatError) -> Interface {
    var interface = try names.interface(of: network)
    if let timestep { interface.timestep = timestep }
    return interface
  }

  /// The graph for the sizes that are known before the model is run.
  ///
  /// - Throws: ``FormatError`` `unsupported` where the convention wants more tokens than there are
  ///   places for.
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
            + "\(places)", context: graph.name, hint: "export with \(set: .naming, "optimum")")
      }
      known[.sequence] = sequence
    }
    return known.isEmpty ? graph : graph.fixing(known)
  }

  /// The precision of the network of that name.
  func precision(of network: String) -> Precision {
    vaeInSinglePrecision && network.hasPrefix("vae") ? .f32 : precision
  }
}

extension Graph {
  /// How many tokens a text encoder has places for; nil for other networks.
  public var tokenPlaces: Int? {
    nodes.first { $0.operation == .addPositions }?.weight.flatMap { self[$0].shape.first }
  }
}
