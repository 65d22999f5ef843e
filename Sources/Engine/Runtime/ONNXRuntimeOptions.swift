/// Options of a network that ONNX Runtime runs.
public struct ONNXRuntimeOptions: Sendable, Hashable {
  /// The execution provider: a short name (`openvino`), a full name (`OpenVINOExecutionProvider`), or
  /// the path of a plug-in's library. A colon and a device type choose among several devices:
  /// `openvino:gpu`.
  public var provider: String
  /// The number of threads of one operation; nil uses all cores.
  public var threads: Int?
  /// The precision of matmuls and convolutions of a model in float32. Models in float16 stay in
  /// float16.
  public var precision: Precision
  /// Inputs that often stay the same between runs, such as the prompt between steps. They stay on the
  /// device while their version, passed to `run`, is unchanged.
  public var constantInputs: Set<String>
  /// The folder for the engines that a provider compiles, created if it does not exist; nil compiles
  /// them again each time. The CPU provider does not use it.
  public var engineCache: String?
  /// Whether operators that the provider does not support may run on the CPU provider.
  public var allowsOtherProviders: Bool

  public init(
    provider: String = "cpu", threads: Int? = nil, precision: Precision = .f32,
    constantInputs: Set<String> = ["encoder_hidden_states"], engineCache: String? = nil,
    allowsOtherProviders: Bool = true
  ) {
    self.provider = provider
    self.threads = threads.map { max(1, min($0, EngineOptions.coreCount)) }
    self.precision = precision
    self.constantInputs = constantInputs
    self.engineCache = engineCache
    self.allowsOtherProviders = allowsOtherProviders
  }
}
