import COnnxRuntime
import Glibc

/// Calls each function of ONNX Runtime's table and checks that it does what its name says, by
/// results that no other function gives. Ends the process at the first that does not; the last line on
/// stderr tells which.
enum FunctionChecks {
  struct Row: Sendable {
    let name: String
    let index: Int
    let version: Int
  }

  static let rows: [Row] = (0..<ort_function_count).map { number in
    let row = ort_function_at(number).pointee
    return Row(name: String(cString: row.name), index: Int(row.index), version: Int(row.version))
  }

  nonisolated(unsafe) static var checked: Set<String> = []
  nonisolated(unsafe) static var table = ort_functions()
  nonisolated(unsafe) static var logged = 0

  static func note(_ text: String) {
    let line = text + "\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
  }

  /// The text at an address; empty at null.
  static func text(_ address: UnsafePointer<CChar>?) -> String {
    address.map { String(cString: $0) } ?? ""
  }

  /// Says which function comes next.
  static func begin(_ names: String...) {
    for name in names {
      checked.insert(name)
      note("function \(name)")
    }
  }

  static func require(_ condition: Bool, _ what: String = "", line: Int = #line) {
    guard !condition else { return }
    note("function check failed in line \(line): \(what)")
    exit(0)
  }

  static func succeed(_ status: OpaquePointer?, line: Int = #line) {
    guard let status else { return }
    require(false, text(table.GetErrorMessage(status)), line: line)
  }

  /// The message of a status that must be an error.
  static func message(_ status: OpaquePointer?, line: Int = #line) -> String {
    require(status != nil, "no error", line: line)
    defer { table.ReleaseStatus(status) }
    return text(table.GetErrorMessage(status))
  }

  static func variable(_ name: String) -> String { text(getenv(name)) }

  /// Resident memory in bytes.
  static var memory: Int {
    guard let file = fopen("/proc/self/statm", "r") else { return 0 }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 200)
    guard fgets(&buffer, 200, file) != nil else { return 0 }
    let line = buffer.withUnsafeBufferPointer { text($0.baseAddress) }
    return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 4096
  }

  /// The number of threads of this process.
  static var threads: Int {
    guard let folder = opendir("/proc/self/task") else { return 0 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return count - 2
  }

  /// Checks that what `body` makes is released: memory does not grow over many rounds, in which
  /// `bytes` each would be left.
  static func releases(bytes: Int, line: Int = #line, _ body: () -> Void) {
    let rounds = (64 << 20) / bytes
    for _ in 0..<rounds / 8 { body() }
    let before = memory
    for _ in 0..<rounds { body() }
    require(memory - before < 24 << 20, "memory grew by \(memory - before)", line: line)
  }

  static func run() {
    setenv("ORT_DISABLE_TELEMETRY", "1", 1)
    var library = ort_library()
    ort_open(variable("SDLOOM_TEST_LIBRARY"), &library)
    require(library.outcome == ort_opened)
    table = library.functions
    let environment = checkEnvironment()
    let options = checkOptions(environment)
    let session = checkSession(environment, options)
    checkPorts(session)
    checkTensors()
    checkBinding(session)
    checkProviders(environment)
    checkDevices(environment)
    let missing = Set(rows.map(\.name)).subtracting(checked)
    require(missing.isEmpty, "not checked: \(missing.sorted())")
    require(checked.subtracting(rows.map(\.name)).isEmpty)
    note("function all")
    exit(0)
  }

  static func checkEnvironment() -> OpaquePointer {
    begin("CreateEnvWithCustomLogger")
    var environment: OpaquePointer?
    let status = table.CreateEnvWithCustomLogger(
      { _, _, _, _, _, _ in FunctionChecks.logged += 1 }, nil, 0, "checks", &environment)
    require(status == nil && environment != nil)
    // Nothing tells it from its counterpart, which enables them.
    begin("DisableTelemetryEvents")
    succeed(table.DisableTelemetryEvents(environment))
    begin("CreateSessionOptions")
    var options: OpaquePointer?
    succeed(table.CreateSessionOptions(&options))
    require(options != nil)
    begin("GetErrorCode", "GetErrorMessage", "CreateSession")
    var session: OpaquePointer?
    let failure = table.CreateSession(environment, "/nowhere/a.onnx", options, &session)
    require(failure != nil && session == nil)
    require(table.GetErrorCode(failure) == Int32(ort_no_such_file))
    require(text(table.GetErrorMessage(failure)).contains("/nowhere/a.onnx"))
    begin("ReleaseStatus")
    table.ReleaseStatus(failure)
    let long = "/" + String(repeating: "x", count: 30_000)
    releases(bytes: 30_000) {
      table.ReleaseStatus(
        table.SessionOptionsAppendExecutionProvider(options, long, nil, nil, 0))
    }
    begin("ReleaseSessionOptions")
    table.ReleaseSessionOptions(options)
    releases(bytes: 1000) {
      var options: OpaquePointer?
      succeed(table.CreateSessionOptions(&options))
      table.ReleaseSessionOptions(options)
    }
    return environment!
  }

  /// The session of the model with these threads, and how many were started for it.
  static func session(
    _ environment: OpaquePointer, _ options: OpaquePointer
  ) -> (handle: OpaquePointer?, threads: Int) {
    let before = threads
    var session: OpaquePointer?
    succeed(table.CreateSession(environment, variable("SDLOOM_TEST_MODEL"), options, &session))
    return (session, threads - before)
  }

  static func checkOptions(_ environment: OpaquePointer) -> OpaquePointer {
    var options: OpaquePointer?
    succeed(table.CreateSessionOptions(&options))
    guard let options else { exit(1) }
    begin("SetIntraOpNumThreads")
    succeed(table.SetIntraOpNumThreads(options, 5))
    let many = session(environment, options)
    require(many.threads == 4, "\(many.threads) threads")
    begin("ReleaseSession")
    let before = threads
    table.ReleaseSession(many.handle)
    require(before - threads == 4)
    // One after another, no operations run beside each other: no threads are started for them.
    begin("SetInterOpNumThreads")
    succeed(table.SetIntraOpNumThreads(options, 1))
    succeed(table.SetInterOpNumThreads(options, 5))
    let one = session(environment, options)
    require(one.threads == 0, "\(one.threads) threads")
    table.ReleaseSession(one.handle)
    begin("AddSessionConfigEntry")
    var other: OpaquePointer?
    succeed(table.CreateSessionOptions(&other))
    succeed(table.AddSessionConfigEntry(other, "session.disable_cpu_ep_fallback", "1"))
    var refused: OpaquePointer?
    let said = message(
      table.CreateSession(environment, variable("SDLOOM_TEST_MODEL"), other, &refused))
    require(said.contains("fallback"), said)
    table.ReleaseSessionOptions(other)
    return options
  }

  static func checkSession(
    _ environment: OpaquePointer, _ options: OpaquePointer
  ) -> OpaquePointer {
    let logged = logged
    guard let session = session(environment, options).handle else { exit(1) }
    begin("CreateEnvWithCustomLogger")
    require(Self.logged > logged, "nothing was logged")
    begin("SessionGetInputCount")
    var count = 0
    succeed(table.SessionGetInputCount(session, &count))
    require(count == 1, "\(count) inputs")
    begin("SessionGetOutputCount")
    succeed(table.SessionGetOutputCount(session, &count))
    require(count == 2, "\(count) outputs")
    return session
  }

  static func allocator() -> OpaquePointer? {
    var allocator: OpaquePointer?
    succeed(table.GetAllocatorWithDefaultOptions(&allocator))
    return allocator
  }

  static func checkPorts(_ session: OpaquePointer) {
    begin("GetAllocatorWithDefaultOptions", "SessionGetInputName")
    var text: UnsafeMutablePointer<CChar>?
    succeed(table.SessionGetInputName(session, 0, allocator(), &text))
    require(text.map { String(cString: $0) } == "input_ids")
    begin("AllocatorFree")
    succeed(table.AllocatorFree(allocator(), text))
    releases(bytes: 32) {
      var text: UnsafeMutablePointer<CChar>?
      _ = table.SessionGetInputName(session, 0, allocator(), &text)
      _ = table.AllocatorFree(allocator(), text)
    }
    begin("SessionGetOutputName")
    succeed(table.SessionGetOutputName(session, 0, allocator(), &text))
    require(text.map { String(cString: $0) } == "last_hidden_state")
    succeed(table.AllocatorFree(allocator(), text))

    begin("SessionGetInputTypeInfo", "CastTypeInfoToTensorInfo")
    var type: OpaquePointer?
    succeed(table.SessionGetInputTypeInfo(session, 0, &type))
    var tensor: OpaquePointer?
    succeed(table.CastTypeInfoToTensorInfo(type, &tensor))
    begin("GetTensorElementType")
    var element: Int32 = 0
    succeed(table.GetTensorElementType(tensor, &element))
    require([ort_int32, ort_int64].contains(Int(element)), "type \(element)")
    begin("GetDimensionsCount")
    var rank = 0
    succeed(table.GetDimensionsCount(tensor, &rank))
    require(rank == 2, "rank \(rank)")
    begin("GetDimensions", "GetSymbolicDimensions")
    succeed(table.SessionGetOutputTypeInfo(session, 0, &type))
    succeed(table.CastTypeInfoToTensorInfo(type, &tensor))
    var sizes = [Int64](repeating: 0, count: 3)
    succeed(table.GetDimensions(tensor, &sizes, 3))
    require(sizes == [-1, -1, 64], "\(sizes)")
    var names = [UnsafePointer<CChar>?](repeating: nil, count: 3)
    succeed(table.GetSymbolicDimensions(tensor, &names, 3))
    require(
      names.map { $0.map { String(cString: $0) } } == ["batch_size", "sequence_length", ""])
    begin("SessionGetOutputTypeInfo")
    succeed(table.GetTensorElementType(tensor, &element))
    require(Int(element) == ort_float32, "type \(element)")
    begin("ReleaseTypeInfo")
    table.ReleaseTypeInfo(type)
    releases(bytes: 100) {
      var type: OpaquePointer?
      _ = table.SessionGetOutputTypeInfo(session, 0, &type)
      table.ReleaseTypeInfo(type)
    }
  }

  static func checkTensors() {
    begin("CreateCpuMemoryInfo", "ReleaseMemoryInfo")
    releases(bytes: 50) {
      var memory: OpaquePointer?
      _ = table.CreateCpuMemoryInfo(0, 0, &memory)
      table.ReleaseMemoryInfo(memory)
    }
    begin("CreateTensorWithDataAsOrtValue", "GetTensorMutableData")
    let memory = cpuMemory()
    var numbers: [Float] = [1, 2, 3, 4, 5, 6]
    numbers.withUnsafeMutableBytes { bytes in
      var value: OpaquePointer?
      succeed(
        table.CreateTensorWithDataAsOrtValue(
          memory, bytes.baseAddress, 24, [3, 2], 2, Int32(ort_float32), &value))
      var data: UnsafeMutableRawPointer?
      succeed(table.GetTensorMutableData(value, &data))
      require(data == bytes.baseAddress)
      begin("GetTensorTypeAndShape", "ReleaseTensorTypeAndShapeInfo")
      var type: OpaquePointer?
      succeed(table.GetTensorTypeAndShape(value, &type))
      var sizes: [Int64] = [0, 0]
      succeed(table.GetDimensions(type, &sizes, 2))
      require(sizes == [3, 2], "\(sizes)")
      table.ReleaseTensorTypeAndShapeInfo(type)
      releases(bytes: 100) {
        var type: OpaquePointer?
        _ = table.GetTensorTypeAndShape(value, &type)
        table.ReleaseTensorTypeAndShapeInfo(type)
      }
      begin("ReleaseValue")
      table.ReleaseValue(value)
      releases(bytes: 100) {
        var value: OpaquePointer?
        _ = table.CreateTensorWithDataAsOrtValue(
          memory, bytes.baseAddress, 24, [3, 2], 2, Int32(ort_float32), &value)
        table.ReleaseValue(value)
      }
    }
    // Too few bytes for the shape.
    var value: OpaquePointer?
    let said = message(
      table.CreateTensorWithDataAsOrtValue(
        memory, &numbers, 8, [3, 2], 2, Int32(ort_float32), &value))
    require(said.contains("24"), said)
  }

  static func cpuMemory() -> OpaquePointer? {
    var memory: OpaquePointer?
    succeed(table.CreateCpuMemoryInfo(0, 0, &memory))
    return memory
  }

  static func checkBinding(_ session: OpaquePointer) {
    let memory = cpuMemory()
    var type: OpaquePointer?
    var tensor: OpaquePointer?
    var element: Int32 = 0
    succeed(table.SessionGetInputTypeInfo(session, 0, &type))
    succeed(table.CastTypeInfoToTensorInfo(type, &tensor))
    succeed(table.GetTensorElementType(tensor, &element))
    let wide = Int(element) == ort_int64
    let ids = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
    for index in 0..<8 {
      wide
        ? ids.storeBytes(of: Int64(index), toByteOffset: 8 * index, as: Int64.self)
        : ids.storeBytes(of: Int32(index), toByteOffset: 4 * index, as: Int32.self)
    }
    var input: OpaquePointer?
    succeed(
      table.CreateTensorWithDataAsOrtValue(
        memory, ids, wide ? 64 : 32, [1, 8], 2, element, &input))

    begin("CreateIoBinding", "BindInput")
    var binding: OpaquePointer?
    succeed(table.CreateIoBinding(session, &binding))
    // A binding cannot be used after that.
    let unknown = message(table.BindInput(binding, "nothing", input))
    require(unknown.contains("nothing"), unknown)
    table.ReleaseIoBinding(binding)
    succeed(table.CreateIoBinding(session, &binding))
    succeed(table.BindInput(binding, "input_ids", input))
    begin("BindOutputToDevice")
    succeed(table.BindOutputToDevice(binding, "last_hidden_state", memory))
    begin("RunWithBinding")
    succeed(table.RunWithBinding(session, nil, binding))
    begin("GetBoundOutputValues")
    var list: UnsafeMutablePointer<OpaquePointer?>?
    var count = 0
    succeed(table.GetBoundOutputValues(binding, allocator(), &list, &count))
    require(count == 1, "\(count) values")
    var data: UnsafeMutableRawPointer?
    succeed(table.GetTensorMutableData(list?[0], &data))
    guard let data else { exit(1) }
    let found = UnsafeBufferPointer(start: data.assumingMemoryBound(to: Float.self), count: 512)
    require(found.contains { $0 != 0 } && found.allSatisfy(\.isFinite))
    begin("BindOutput")
    var own = [Float](repeating: 0, count: 512)
    own.withUnsafeMutableBytes { bytes in
      var value: OpaquePointer?
      succeed(
        table.CreateTensorWithDataAsOrtValue(
          memory, bytes.baseAddress, 2048, [1, 8, 64], 3, Int32(ort_float32), &value))
      succeed(table.BindOutput(binding, "last_hidden_state", value))
      succeed(table.RunWithBinding(session, nil, binding))
      require(bytes.bindMemory(to: Float.self).elementsEqual(found))
    }
    begin("ReleaseIoBinding")
    table.ReleaseIoBinding(binding)
    releases(bytes: 500) {
      var binding: OpaquePointer?
      _ = table.CreateIoBinding(session, &binding)
      table.ReleaseIoBinding(binding)
    }
  }
}
