/// What computes a model's networks.
public enum NetworkEngine: Sendable, Hashable {
  /// This project's own engine, on the CPU.
  case native
  /// ONNX Runtime, on networks that are exported as ONNX.
  case onnxRuntime(ONNXRuntimeSettings)
}

/// How ONNX Runtime is used.
public struct ONNXRuntimeSettings: Sendable, Hashable {
  /// The execution provider: a short name (`cpu`, `openvino`, `cuda`, `tensorrt`), ONNX Runtime's own
  /// name, or the path of a plug-in.
  public var provider = "cpu"
  /// The library, or a directory that contains it; nil for the usual places.
  public var library: String?
  /// Whether networks are exported as F16, except for the VAE.
  public var usesHalfPrecision = false
  /// Where exports are kept; nil for the usual cache directory.
  public var cacheDirectory: String?
  /// The size that the cache may have, in bytes.
  public var cacheLimit = 20_000_000_000

  public init() {}
}

extension NetworkEngine {
  /// Short names of providers that are known to run these networks.
  static let providers = ["cpu", "openvino", "webgpu", "cuda", "tensorrt"]

  /// The providers that compute in F16 faster than in F32 at the same quality.
  fileprivate static let halfPrecisionProviders: Set = ["cuda", "tensorrt", "nvtensorrtrtx"]

  /// The engine of a name: `native`, `onnxruntime` or `onnxruntime:PROVIDER`; nil for another text.
  public init?(name: String) {
    let parts = name.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    switch (parts[0], parts.count) {
    case ("native", 1): self = .native
    case ("onnxruntime", 1): self = .onnxRuntime(ONNXRuntimeSettings())
    case ("onnxruntime", 2) where !parts[1].isEmpty:
      var settings = ONNXRuntimeSettings()
      settings.provider = String(parts[1])
      self = .onnxRuntime(settings)
    default: return nil
    }
  }

  var isOpenVINO: Bool {
    guard case .onnxRuntime(let settings) = self else { return false }
    return settings.provider.lowercased().contains("openvino")
  }
}

extension DrawingJob {
  /// The engine that is asked for.
  package var networkEngine: NetworkEngine {
    guard let engine, let named = NetworkEngine(name: engine),
      case .onnxRuntime(var settings) = named
    else { return .native }
    settings.library = onnxRuntime
    settings.usesHalfPrecision =
      (dtype ?? .auto) == .auto
      && NetworkEngine.halfPrecisionProviders.contains(settings.provider)
    return .onnxRuntime(settings)
  }
}
