import COnnxRuntime
import Glibc
import ModelFormats
import Synchronization

/// An exported network, run by ONNX Runtime.
///
/// Values are float32 outside; the model may take and give float16 and integers. Inputs and outputs
/// have the names that the model gives them. Runs exclude each other.
public final class ONNXRuntimeNetwork: Network, @unchecked Sendable {
  /// The network's name, by its file: the folder of a `model.onnx`, otherwise the name of the file.
  public let name: String
  /// The options it was created with.
  public let options: ONNXRuntimeOptions
  /// The execution provider that runs it.
  public let provider: ExecutionProvider
  /// The names of the inputs, in order.
  public let inputNames: [String]
  /// The names of the outputs, in order.
  public let outputNames: [String]
  private let label: String
  private let binding: RuntimeBinding
  private let lock = Mutex<Void>(())

  /// Opens a model and prepares it for the provider, which may take minutes if that compiles an
  /// engine.
  ///
  /// - Parameter path: the `.onnx` file; its weights are next to it.
  /// - Throws: ``EngineError``: `missing` if there is no such provider, `model` if the file is missing
  ///   or damaged, `unsupported` if the provider has no device, cannot compute in the precision or
  ///   refuses an operator, `cache`, `memory`, `library`.
  public init(
    model path: String, runtime: ONNXRuntime, options: ONNXRuntimeOptions = ONNXRuntimeOptions()
  ) throws(EngineError) {
    let name = Self.name(of: path)
    guard ModelFormats.access(path, R_OK) == 0 else {
      throw EngineError(
        .model, "\(path): \(String(cString: strerror(errno)))", context: name,
        hint: "export the network again")
    }
    let choice = try runtime.choose(options.provider)
    try Self.check(options, choice, name)
    try Self.makeCache(options, choice, name)
    let session = try RuntimeSession(path, runtime, choice, options, context: name)
    binding = try RuntimeBinding(
      session, constantInputs: options.constantInputs, context: name)
    self.name = name
    self.options = options
    provider = choice.provider
    label = choice.label
    inputNames = session.inputs.map(\.name)
    outputNames = session.outputs.map(\.name)
  }

  /// Computes the outputs, by name.
  ///
  /// - Parameters:
  ///   - inputs: every input of the model, by name. A single number takes the shape that the model
  ///     gives the input.
  ///   - inputVersions: a number for each constant input, which changes when the input does. While it
  ///     is the same, the input stays on the device and is not read.
  ///   - observer: called once after the run, with its time.
  /// - Throws: ``EngineError``: `input`, `memory`, `library`.
  public func run(
    _ inputs: [String: Value], inputVersions: [String: Int] = [:],
    observer: ((StepTiming) -> Void)? = nil
  ) throws -> [String: Value] {
    try lock.withLock { _ in
      let start = Self.now()
      let outputs = try binding.run(inputs, inputVersions)
      observer?(
        StepTiming(
          name: name, kind: "onnxruntime", implementation: label, seconds: Self.now() - start,
          macs: 0, bytes: binding.byteCount))
      return outputs
    }
  }

  private static func check(
    _ options: ONNXRuntimeOptions, _ choice: RuntimeProviderChoice, _ name: String
  ) throws(EngineError) {
    guard options.precision == .bf16 else { return }
    let provider = choice.provider.shortName
    guard choice.known?.computesInBF16 == true else {
      throw EngineError(
        .unsupported, "the execution provider \(provider) computes this model in float32 only",
        context: name, hint: "use \(set: .dtype, "f32")")
    }
    // OpenVINO lists what a device computes in.
    let abilities = choice.device?.device.metadata["OPTIMIZATION_CAPABILITIES"]
    guard abilities?.split(separator: " ").contains("BF16") ?? true else {
      throw EngineError(
        .unsupported, "the device of \(provider) has no bfloat16 instructions", context: name,
        hint: "use \(set: .dtype, "f32")")
    }
  }

  private static func makeCache(
    _ options: ONNXRuntimeOptions, _ choice: RuntimeProviderChoice, _ name: String
  ) throws(EngineError) {
    guard let folder = options.engineCache, choice.known?.keepsEngines == true else { return }
    if ModelFormats.mkdir(folder, 0o777) != 0, errno != EEXIST {
      throw EngineError(
        .cache, "cannot create \(folder): \(String(cString: strerror(errno)))", context: name,
        hint: "use another folder for compiled engines")
    }
    guard ModelFormats.access(folder, R_OK | W_OK | X_OK) == 0 else {
      throw EngineError(
        .cache, "cannot write in \(folder): \(String(cString: strerror(errno)))", context: name,
        hint: "use another folder for compiled engines")
    }
  }

  /// `unet` for `.../unet/model.onnx` and for `.../unet.onnx`.
  private static func name(of path: String) -> String {
    let parts = path.split(separator: "/")
    let file = String(parts.last ?? "model")
    let stem = file.hasSuffix(".onnx") ? String(file.dropLast(5)) : file
    return stem == "model" && parts.count > 1 ? String(parts[parts.count - 2]) : stem
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }
}
