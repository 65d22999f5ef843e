import COnnxRuntime
import Glibc
import ModelFormats
import Synchronization

/// ONNX Runtime, loaded at run time: an engine for exported networks on CPUs, GPUs and NPUs.
///
/// ```swift
/// let runtime = try ONNXRuntime.load()
/// let unet = try ONNXRuntimeNetwork(
///   model: "exported/unet/model.onnx", runtime: runtime,
///   options: ONNXRuntimeOptions(provider: "openvino"))
/// ```
public final class ONNXRuntime: Sendable {
  /// The library's file.
  public let path: String
  /// The library's version, such as `1.32.0`.
  public let version: String
  let functions: RuntimeFunctions
  /// The library's environment, which lives as long as the process.
  nonisolated(unsafe) let environment: OpaquePointer
  let log: RuntimeLog
  let plugins = Mutex<[Plugin]>([])

  /// A library with an execution provider that was registered.
  struct Plugin: Sendable {
    let path: String
    /// The name of the registration, for providers without devices.
    let name: String
  }

  /// The libraries that were loaded, by what was asked for and by file.
  private static let loaded = Mutex<[String: ONNXRuntime]>([:])

  /// Loads the library, once per process and file.
  ///
  /// - Parameter path: the library, or a folder that contains it (itself, or as a prefix, a Python's
  ///   package folder or a virtual environment); nil for SDLOOM_ONNXRUNTIME if set, otherwise the
  ///   first in the usual places: where the dynamic loader looks, and the package `onnxruntime` of
  ///   the active virtual environment, of `python3`, of the user and of the system.
  /// - Throws: ``EngineError`` `missing` if there is none that can be used: not found, damaged, older
  ///   than 1.22, or another library.
  public static func load(from path: String? = nil) throws(EngineError) -> ONNXRuntime {
    let request = path ?? RuntimePlaces.variable("SDLOOM_ONNXRUNTIME") ?? ""
    return try loaded.withLock { (loaded) throws(EngineError) in
      if let runtime = loaded[request] { return runtime }
      // Before it starts, since it writes an identifier of the machine below the home folder then.
      setenv("ORT_DISABLE_TELEMETRY", "1", 1)
      let library = try RuntimeLibrary.open(path)
      let runtime: ONNXRuntime
      if let same = loaded["file " + library.path] {
        runtime = same
      } else {
        runtime = try ONNXRuntime(library)
      }
      loaded[request] = runtime
      loaded["file " + library.path] = runtime
      return runtime
    }
  }

  private init(_ library: RuntimeLibrary) throws(EngineError) {
    path = library.path
    version = library.version
    functions = library.functions
    let log = RuntimeLog()
    self.log = log
    let functions = library.functions
    environment = try functions.object("ONNX Runtime") { environment in
      functions.table.CreateEnvWithCustomLogger(
        RuntimeLog.callback, Unmanaged.passRetained(log).toOpaque(), RuntimeLog.warning, "sdloom",
        &environment)
    }
    // Builds that report their use to their makers must not.
    try functions.check(functions.table.DisableTelemetryEvents(environment), "ONNX Runtime")
  }

  /// Calls `handler` with each warning of the library from now on; nil drops them, as at first.
  public func onWarning(_ handler: (@Sendable (String) -> Void)?) {
    log.setHandler(handler)
  }
}
