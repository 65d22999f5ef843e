import COnnxRuntime

/// The inputs and outputs of a session, bound to memory that stays between runs.
final class RuntimeBinding {
  private struct Held {
    let tensor: RuntimeTensor
    /// The version of the input in the tensor, if the caller gave one.
    var version: Int?
  }

  private let session: RuntimeSession
  private let context: String
  private let constantInputs: Set<String>
  private let handle: OpaquePointer
  private let memory: OpaquePointer
  private var held: [String: Held] = [:]
  /// Memory for the outputs, in order; empty if the shapes are not known yet.
  private var results: [RuntimeTensor] = []
  /// The shapes of outputs for the shapes of inputs that ran last, the latest at the end.
  private var known: [(inputs: [[Int]], outputs: [[Int]])] = []

  /// The number of sizes whose output shapes are kept.
  private static let knownLimit = 4
  // OrtDeviceAllocator and OrtMemTypeDefault.
  private static let plainAllocator: Int32 = 0
  private static let plainMemory: Int32 = 0

  init(
    _ session: RuntimeSession, constantInputs: Set<String>, context: String
  ) throws(EngineError) {
    let functions = session.functions
    let table = functions.table
    self.session = session
    self.context = context
    self.constantInputs = constantInputs
    memory = try functions.object(context) {
      table.CreateCpuMemoryInfo(Self.plainAllocator, Self.plainMemory, &$0)
    }
    do throws(EngineError) {
      handle = try functions.object(context) { table.CreateIoBinding(session.handle, &$0) }
    } catch {
      table.ReleaseMemoryInfo(memory)
      throw error
    }
  }

  deinit {
    session.functions.table.ReleaseIoBinding(handle)
    held = [:]
    results = []
    session.functions.table.ReleaseMemoryInfo(memory)
  }

  /// Bytes of the inputs and outputs that are bound.
  var byteCount: Int {
    held.values.reduce(0) { $0 + $1.tensor.byteCount } + results.reduce(0) { $0 + $1.byteCount }
  }

  /// Copies the inputs, except for constant ones that are unchanged, and runs.
  func run(
    _ inputs: [String: Value], _ versions: [String: Int]
  ) throws(EngineError) -> [String: Value] {
    let functions = session.functions
    let shapes = try RuntimeShapes(session.inputs, context).shapes(of: inputs)
    let former = held
    // Nothing is kept until the run succeeds.
    for name in held.keys { held[name]?.version = nil }
    for (port, shape) in zip(session.inputs, shapes) {
      // Present: the shapes were found.
      guard let value = inputs[port.name] else { continue }
      let version = constantInputs.contains(port.name) ? versions[port.name] : nil
      if let version, former[port.name]?.version == version, held[port.name]?.tensor.shape == shape
      {
        held[port.name]?.version = version
        continue
      }
      try bind(port, shape, value, version)
    }
    let isPlaced = try bindOutputs(shapes)
    do throws(EngineError) {
      try functions.check(functions.table.RunWithBinding(session.handle, nil, handle), context)
    } catch {
      for name in held.keys { held[name]?.version = nil }
      throw error
    }
    if isPlaced {
      return Dictionary(
        uniqueKeysWithValues: zip(session.outputs, results).map { ($0.name, $1.value) })
    }
    let values = try boundOutputs()
    known.append((shapes, session.outputs.map { values[$0.name]?.shape ?? [] }))
    if known.count > Self.knownLimit { known.removeFirst() }
    return values
  }

  private func bind(
    _ port: RuntimeSession.Port, _ shape: [Int], _ value: Value, _ version: Int?
  ) throws(EngineError) {
    let place = "\(context): \(port.name)"
    let tensor: RuntimeTensor
    if let own = held[port.name]?.tensor, own.shape == shape {
      tensor = own
    } else {
      tensor = try RuntimeTensor(
        shape: shape, element: port.element, in: memory, session.functions, place)
    }
    try tensor.write(value, place)
    // Again on each change: the library copies it to the provider's device here.
    let functions = session.functions
    try functions.check(functions.table.BindInput(handle, port.name, tensor.handle), place)
    held[port.name] = Held(tensor: tensor, version: version)
  }

  /// Binds memory of ours if the shapes are known, and otherwise memory that the library allocates;
  /// returns which.
  private func bindOutputs(_ inputs: [[Int]]) throws(EngineError) -> Bool {
    let functions = session.functions
    let fixed = session.outputs.map { output in
      output.shape.compactMap { dimension in
        if case .fixed(let size) = dimension { size } else { nil }
      }
    }
    let isFixed = zip(session.outputs, fixed).allSatisfy { $0.shape.count == $1.count }
    guard let shapes = isFixed ? fixed : known.last(where: { $0.inputs == inputs })?.outputs else {
      for output in session.outputs {
        try functions.check(
          functions.table.BindOutputToDevice(handle, output.name, memory),
          "\(context): \(output.name)")
      }
      results = []
      return false
    }
    guard results.map(\.shape) != shapes else { return true }
    var tensors: [RuntimeTensor] = []
    for (output, shape) in zip(session.outputs, shapes) {
      let place = "\(context): \(output.name)"
      let tensor = try RuntimeTensor(
        shape: shape, element: output.element, in: memory, functions, place)
      try functions.check(functions.table.BindOutput(handle, output.name, tensor.handle), place)
      tensors.append(tensor)
    }
    results = tensors
    return true
  }

  /// The outputs that the library allocated, in the order of their binding.
  private func boundOutputs() throws(EngineError) -> [String: Value] {
    let functions = session.functions
    let table = functions.table
    let allocator = try functions.object(context) { table.GetAllocatorWithDefaultOptions(&$0) }
    var list: UnsafeMutablePointer<OpaquePointer?>?
    var count = 0
    try functions.check(table.GetBoundOutputValues(handle, allocator, &list, &count), context)
    guard let list else { return [:] }
    defer {
      for index in 0..<count { table.ReleaseValue(list[index]) }
      // Only fails for an allocator of another kind.
      if let status = table.AllocatorFree(allocator, list) { table.ReleaseStatus(status) }
    }
    var values: [String: Value] = [:]
    for (index, output) in session.outputs.enumerated() where index < count {
      let type = try functions.object(context) { table.GetTensorTypeAndShape(list[index], &$0) }
      defer { table.ReleaseTensorTypeAndShapeInfo(type) }
      let shape = try RuntimeSession.sizes(of: type, functions, context)
      let element = try RuntimeSession.element(of: type, functions, context)
      guard RuntimeTensor.size(of: element) != nil else {
        throw EngineError(
          .unsupported, "elements of ONNX type \(element) are not supported",
          context: "\(context): \(output.name)")
      }
      var bytes: UnsafeMutableRawPointer?
      try functions.check(table.GetTensorMutableData(list[index], &bytes), context)
      guard let bytes else { continue }
      values[output.name] = RuntimeTensor.value(bytes, element, shape)
    }
    return values
  }
}
