import COnnxRuntime
import Glibc
import ModelFormats

/// A library of ONNX Runtime that was opened.
struct RuntimeLibrary {
  /// The file.
  let path: String
  /// What the library says its version is.
  let version: String
  let functions: RuntimeFunctions

  /// The first version whose API has plug-in providers.
  private static let leastVersion = "1.\(ORT_VERSION)"
  private static let variable = "SDLOOM_ONNXRUNTIME"
  private static let context = "ONNX Runtime"
  private static let install: Remedy = "\(pip: "onnxruntime")"
  private static let another: Remedy =
    "set SDLOOM_ONNXRUNTIME to the path of libonnxruntime.so, version \(leastVersion) or newer"

  /// Opens the library at `path`, that of SDLOOM_ONNXRUNTIME, or the first that can be used in the
  /// usual places.
  ///
  /// - Throws: ``EngineError`` `missing`, also if there is one that cannot be used.
  static func open(_ path: String?) throws(EngineError) -> RuntimeLibrary {
    if let path { return try open(named: path, by: nil) }
    if let path = RuntimePlaces.variable(variable) { return try open(named: path, by: variable) }
    // The first that was found but cannot be used is worth telling about.
    var problem: EngineError?
    for name in RuntimePlaces.names {
      let library = opened(name)
      if library.outcome == ort_opened { return RuntimeLibrary(library) }
      // Most often the loader just has no such file.
      if library.outcome != ort_not_loaded { problem = problem ?? error(library) }
    }
    for path in RuntimePlaces.installedLibraries {
      let library = opened(path)
      if library.outcome == ort_opened { return RuntimeLibrary(library) }
      problem = problem ?? error(library)
    }
    throw problem
      ?? EngineError(
        .missing, "no library found", context: context, hint: install + ", or " + another)
  }

  private static func open(
    named path: String, by variable: String?
  ) throws(EngineError) -> RuntimeLibrary {
    var status = stat()
    let whose = variable.map { " (\($0))" } ?? ""
    guard ModelFormats.stat(path, &status) == 0 else {
      throw EngineError(
        .missing, "\(path)\(whose): \(String(cString: strerror(errno)))", context: context,
        hint: another + ", or " + install)
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      let library = opened(path)
      guard library.outcome == ort_opened else { throw error(library) }
      return RuntimeLibrary(library)
    }
    var problem: EngineError?
    for path in RuntimePlaces.libraries(in: path) {
      let library = opened(path)
      if library.outcome == ort_opened { return RuntimeLibrary(library) }
      problem = problem ?? error(library)
    }
    throw problem
      ?? EngineError(
        .missing, "\(path)\(whose) contains no libonnxruntime.so", context: context,
        hint: another + ", or " + install)
  }

  private static func opened(_ path: String) -> ort_library {
    // Without a slash the dynamic loader would look for a file of this name elsewhere.
    let name = path.contains("/") || RuntimePlaces.names.contains(path) ? path : "./\(path)"
    var library = ort_library()
    FileName.bytes(name).withUnsafeBufferPointer { ort_open($0.baseAddress, &library) }
    return library
  }

  private init(_ library: ort_library) {
    let path = Self.text(library.path)
    self.path = RuntimePlaces.resolved(path) ?? path
    version = Self.text(library.version)
    functions = RuntimeFunctions(library.functions)
  }

  private static func error(_ library: ort_library) -> EngineError {
    let path = text(library.path)
    let message =
      switch library.outcome {
      case ort_foreign: "\(path) is not ONNX Runtime: it has no function OrtGetApiBase"
      case ort_other_version:
        "found version \(text(library.version)) (\(path)), but \(leastVersion) is the least that has "
          + "execution providers as plug-ins"
      default: "cannot load the library: \(text(library.detail))"
      }
    return EngineError(.missing, message, context: context, hint: install + ", or " + another)
  }

  /// The text of an array of characters that ends with a zero.
  private static func text<Characters>(_ characters: Characters) -> String {
    withUnsafeBytes(of: characters) { bytes in
      FileName.text(bytes.prefix { $0 != 0 }.map { $0 })
    }
  }
}
