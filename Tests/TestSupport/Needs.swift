import Foundation
import Testing

/// Requirements of some tests that a bare machine lacks. A test without them is skipped, and
/// `make test` counts it under the reason given here; `make test-full` sets up everything but
/// ``shared(_:)``.
extension Trait where Self == ConditionTrait {
  /// The reference Python with all of `modules`.
  public static func python(_ modules: String...) -> Self {
    let names = modules.joined(separator: ", ")
    return .enabled(
      if: modules.allSatisfy(Tool.has), "no Python with \(names) (make test-full)")
  }

  /// A program of the system, which a Debian package has.
  public static func program(_ path: String, package: String) -> Self {
    .enabled(
      if: FileManager.default.isExecutableFile(atPath: path),
      "no \(path) (apt-get install \(package))")
  }

  /// ONNX Runtime's library.
  public static var onnxRuntime: Self {
    .enabled(
      if: Fixtures.onnxRuntime != nil,
      "no ONNX Runtime (SDLOOM_ONNXRUNTIME, or the package onnxruntime of the reference Python)")
  }

  /// A plug-in of ONNX Runtime, from a package next to ONNX Runtime's own.
  public static func plugin(_ folder: String, package: String) -> Self {
    .enabled(
      if: Fixtures.plugin(folder) != nil, "no \(package) next to ONNX Runtime (pip install)")
  }

  /// Any Python 3.
  public static var anyPython: Self { .enabled(if: Tool.anyPython != nil, "no python3") }

  /// A repository of SD v1.5's shapes.
  public static var fullSize: Self {
    .enabled(if: Fixtures.fullSize != nil, "no full-size repository (make test-full)")
  }

  /// That repository, and what diffusers computes from it.
  public static var fullSizeReference: Self {
    .enabled(
      if: Fixtures.fullSize != nil && Fixtures.fullSizeReference != nil,
      "no full-size repository (make test-full)")
  }

  /// A repository of narrow networks, with the single files of the same weights.
  public static var narrow: Self {
    .enabled(if: Fixtures.narrow != nil, "no narrow repository (make test-full)")
  }

  /// A file or directory of ../shared: third-party files that this project may not distribute.
  public static func shared(_ name: String) -> Self {
    .enabled(
      if: Fixtures.shared(name) != nil, "no ../shared/corpus (files of others, not included)")
  }
}

extension Fixtures {
  private static let environment = ProcessInfo.processInfo.environment

  /// `SDLOOM_FULL`: the path of a repository of SD v1.5's shapes, as `scripts/make-repository` writes it.
  public static let fullSize: String? = environment["SDLOOM_FULL"]

  /// `SDLOOM_FULL_REFERENCE`: what Tests/EngineTests/Oracle/full_size.py writes of ``fullSize``.
  public static let fullSizeReference: String? = environment["SDLOOM_FULL_REFERENCE"]

  /// The file or folder of ONNX Runtime: `SDLOOM_ONNXRUNTIME`, else the package of the reference
  /// Python.
  public static let onnxRuntime: String? = {
    if let path = environment["SDLOOM_ONNXRUNTIME"], !path.isEmpty { return path }
    guard let python = Tool.python, Tool.has("onnxruntime") else { return nil }
    let script = """
      import importlib.util
      print(importlib.util.find_spec("onnxruntime").submodule_search_locations[0] + "/capi")
      """
    let found = try? Tool.launch(python, ["-c", script])
    return found?.output.split(separator: "\n").first.map(String.init)
  }()

  /// The library of an installed plug-in, by the folder of its package.
  public static func plugin(_ folder: String) -> String? {
    guard let path = onnxRuntime else { return nil }
    // The package folder is above `onnxruntime/capi`, or is itself what is given.
    let manager = FileManager.default
    return [path, "\(path)/../..", "\(path)/../../.."].lazy.compactMap { base in
      let names = try? manager.contentsOfDirectory(atPath: "\(base)/\(folder)")
      return names?.first { $0.hasPrefix("libonnxruntime_providers_") && $0.hasSuffix(".so") }
        .map { "\(base)/\(folder)/\($0)" }
    }.first
  }

  /// `SDLOOM_NARROW`: what `scripts/make-repository --narrow --single-file` writes.
  public static let narrow: String? = environment["SDLOOM_NARROW"]
}

extension Tool {
  /// The reference Python, else the system's.
  public static var anyPython: String? { python ?? systemPython }

  /// Whether the reference Python has a module.
  public static func has(_ module: String) -> Bool {
    precondition(asked.contains(module), "\(module) is not looked for: add it to the list")
    return installed.contains(module)
  }

  /// The modules that tests ask for.
  private static let asked = [
    "PIL", "diffusers", "gguf", "numpy", "onnx", "onnxruntime", "safetensors", "torch",
    "transformers",
  ]

  /// Those that the reference Python has; Python is started once for all.
  private static let installed: Set<String> = {
    let script = """
      import importlib.util, sys
      for name in sys.argv[1:]:
          if importlib.util.find_spec(name): print(name)
      """
    guard let python, let result = try? launch(python, ["-c", script] + asked) else { return [] }
    return Set(result.output.split(separator: "\n").map(String.init))
  }()
}
