import COnnxRuntime
import ModelFormats

/// A model that ONNX Runtime has opened: its inputs and outputs.
final class RuntimeSession {
  /// An input or output of the model.
  struct Port: Sendable {
    /// The size of an axis.
    enum Dimension: Sendable, Hashable, CustomStringConvertible {
      case fixed(Int)
      /// Equal for all axes of this name.
      case named(String)
      case unknown

      var description: String {
        switch self {
        case .fixed(let size): String(size)
        case .named(let name): name
        case .unknown: "?"
        }
      }
    }

    let name: String
    /// The type of its elements, in the library's numbers.
    let element: Int32
    let shape: [Dimension]
  }

  let functions: RuntimeFunctions
  let handle: OpaquePointer
  let inputs: [Port]
  let outputs: [Port]

  /// Opens the model at `path` and prepares it for the provider.
  init(
    _ path: String, _ runtime: ONNXRuntime, _ choice: RuntimeProviderChoice,
    _ options: ONNXRuntimeOptions, context: String
  ) throws(EngineError) {
    let functions = runtime.functions
    let table = functions.table
    let own = try functions.object(context) { table.CreateSessionOptions(&$0) }
    defer { table.ReleaseSessionOptions(own) }
    let threads = Int32(clamping: options.threads ?? EngineOptions.coreCount)
    try functions.check(table.SetIntraOpNumThreads(own, threads), context)
    try functions.check(table.SetInterOpNumThreads(own, 1), context)
    var entries = [
      // Threads of one network must not spin while another runs.
      ("session.force_spinning_stop", "1")
    ]
    if !options.allowsOtherProviders { entries.append(("session.disable_cpu_ep_fallback", "1")) }
    for (key, value) in entries {
      try functions.check(table.AddSessionConfigEntry(own, key, value), context)
    }
    let settings = choice.known?.settings(options, choice.device?.device) ?? []
    try runtime.append(choice, settings, to: own, context)

    var session: OpaquePointer?
    let status = FileName.bytes(path).withUnsafeBufferPointer {
      table.CreateSession(runtime.environment, $0.baseAddress, own, &session)
    }
    do throws(EngineError) {
      try functions.check(status, context)
    } catch {
      throw Self.explained(error, choice, options)
    }
    guard let session else {
      throw EngineError(.library, "ONNX Runtime gave no session", context: context)
    }
    do throws(EngineError) {
      inputs = try Self.inputs(of: session, functions, context)
      outputs = try Self.outputs(of: session, functions, context)
    } catch {
      table.ReleaseSession(session)
      throw error
    }
    self.functions = functions
    handle = session
  }

  deinit { functions.table.ReleaseSession(handle) }

  /// The error of a session on a provider, with what to do.
  private static func explained(
    _ error: EngineError, _ choice: RuntimeProviderChoice, _ options: ONNXRuntimeOptions
  ) -> EngineError {
    guard choice.provider.shortName != "cpu", [.library, .unsupported].contains(error.code) else {
      return error
    }
    let isRefusal = !options.allowsOtherProviders && error.message.contains("fallback")
    return EngineError(
      isRefusal ? .unsupported : error.code,
      isRefusal
        ? "the execution provider \(choice.provider.shortName) does not support all operators of "
          + "the model"
        : "execution provider \(choice.provider.shortName): \(error.message)",
      context: error.context, hint: error.hint ?? "use the execution provider cpu")
  }

  private static func inputs(
    of session: OpaquePointer, _ functions: RuntimeFunctions, _ context: String
  ) throws(EngineError) -> [Port] {
    let table = functions.table
    var count = 0
    try functions.check(table.SessionGetInputCount(session, &count), context)
    var ports: [Port] = []
    for index in 0..<count {
      let name = try text(functions, context) {
        table.SessionGetInputName(session, index, $0, &$1)
      }
      let type = try functions.object(context) {
        table.SessionGetInputTypeInfo(session, index, &$0)
      }
      defer { table.ReleaseTypeInfo(type) }
      ports.append(try port(name, type, functions, context))
    }
    return ports
  }

  private static func outputs(
    of session: OpaquePointer, _ functions: RuntimeFunctions, _ context: String
  ) throws(EngineError) -> [Port] {
    let table = functions.table
    var count = 0
    try functions.check(table.SessionGetOutputCount(session, &count), context)
    var ports: [Port] = []
    for index in 0..<count {
      let name = try text(functions, context) {
        table.SessionGetOutputName(session, index, $0, &$1)
      }
      let type = try functions.object(context) {
        table.SessionGetOutputTypeInfo(session, index, &$0)
      }
      defer { table.ReleaseTypeInfo(type) }
      ports.append(try port(name, type, functions, context))
    }
    return ports
  }

  /// A text that the library allocates.
  private static func text(
    _ functions: RuntimeFunctions, _ context: String,
    _ get: (_ allocator: OpaquePointer, inout UnsafeMutablePointer<CChar>?) -> OpaquePointer?
  ) throws(EngineError) -> String {
    let allocator = try functions.object(context) {
      functions.table.GetAllocatorWithDefaultOptions(&$0)
    }
    var text: UnsafeMutablePointer<CChar>?
    try functions.check(get(allocator, &text), context)
    guard let text else { return "" }
    let result = String(cString: text)
    try functions.check(functions.table.AllocatorFree(allocator, text), context)
    return result
  }

  private static func port(
    _ name: String, _ type: OpaquePointer, _ functions: RuntimeFunctions, _ context: String
  ) throws(EngineError) -> Port {
    let table = functions.table
    var tensor: OpaquePointer?
    try functions.check(table.CastTypeInfoToTensorInfo(type, &tensor), context)
    guard let tensor else {
      throw EngineError(.unsupported, "it is not a tensor", context: "\(context): \(name)")
    }
    let sizes = try sizes(of: tensor, functions, context)
    var names = [UnsafePointer<CChar>?](repeating: nil, count: sizes.count)
    try functions.check(table.GetSymbolicDimensions(tensor, &names, sizes.count), context)
    let shape = zip(sizes, names).map { size, name -> Port.Dimension in
      guard size < 0 else { return .fixed(size) }
      let name = name.map { String(cString: $0) } ?? ""
      return name.isEmpty ? .unknown : .named(name)
    }
    return Port(
      name: name, element: try element(of: tensor, functions, context), shape: shape)
  }

  /// The type of the elements of a tensor.
  static func element(
    of tensor: OpaquePointer, _ functions: RuntimeFunctions, _ context: String
  ) throws(EngineError) -> Int32 {
    var element: Int32 = 0
    try functions.check(functions.table.GetTensorElementType(tensor, &element), context)
    return element
  }

  /// The shape of a tensor; sizes that are left to run time are negative.
  static func sizes(
    of tensor: OpaquePointer, _ functions: RuntimeFunctions, _ context: String
  ) throws(EngineError) -> [Int] {
    var rank = 0
    try functions.check(functions.table.GetDimensionsCount(tensor, &rank), context)
    var sizes = [Int64](repeating: 0, count: rank)
    try functions.check(functions.table.GetDimensions(tensor, &sizes, rank), context)
    return sizes.map { Int($0) }
  }
}
