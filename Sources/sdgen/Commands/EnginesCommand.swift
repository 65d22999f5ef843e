import ArgumentParser
import Engine
import OrderedJSON
import Terminal

/// Lists the engines that can run networks on this machine.
struct EnginesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "engines",
    abstract: "List the engines, their execution providers and devices.",
    discussion: """
      The native engine is always there. ONNX Runtime is loaded from PyPI's package onnxruntime or \
      another place if it is installed; packages such as onnxruntime-ep-openvino and \
      onnxruntime-ep-webgpu add execution providers.

      EXAMPLES
        sdgen engines
        sdgen engines --onnxruntime ~/venv --json
      """)

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The library of ONNX Runtime, or a directory that contains it (default: SDLOOM_ONNXRUNTIME, the system's, or Python's package).",
      valueName: "path"), completion: .file())
  var onnxruntime: String?

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    let runtime: Result<ONNXRuntime, EngineError> = Result { () throws(EngineError) in
      try ONNXRuntime.load(from: onnxruntime)
    }
    // One that is asked for must be there.
    if case .failure(let error) = runtime, onnxruntime != nil { throw Failure(error) }
    let found = runtime.map { Found($0) }
    Console.print(json ? Self.json(found).text() : Self.text(found))
  }

  /// ONNX Runtime with all plug-ins that are installed.
  private struct Found {
    let runtime: ONNXRuntime
    let providers: [ExecutionProvider]
    /// Why plug-ins that are installed cannot be used.
    let problems: [(library: String, failure: Failure)]

    init(_ runtime: ONNXRuntime) {
      self.runtime = runtime
      problems = runtime.installedPlugins().compactMap { path in
        do throws(EngineError) {
          try runtime.registerPlugin(path)
          return nil
        } catch {
          return (path, Failure(error))
        }
      }
      providers = runtime.providers()
    }
  }

  private static let precisions = Precision.allCases.filter {
    $0 == .f32 || Precision.isBF16Native
  }

  private static func text(_ found: Result<Found, EngineError>) -> String {
    let types = precisions.map(\.rawValue).joined(separator: " and ")
    var lines = [
      Console.heading("native:") + " \(EngineOptions.instructionSet), "
        + "\(EngineOptions.coreCount.of("thread")), \(types)"
    ]
    switch found {
    case .success(let found):
      lines.append(
        Console.heading("onnxruntime:") + " \(Console.sanitized(found.runtime.version)), "
          + Console.sanitized(found.runtime.path))
      var table = Table([
        ("provider", .left), ("device", .left), ("name", .left), ("library", .left),
      ])
      for provider in found.providers {
        let library = provider.libraryPath ?? "built in"
        let devices = provider.devices.map { device in
          (
            device.kind.rawValue,
            device.name.contains(device.vendor) ? device.name : "\(device.vendor) \(device.name)"
          )
        }
        let missing = (provider.isPlugin ? "none found" : "", "")
        for (kind, name) in devices.isEmpty ? [missing] : devices {
          table.add([provider.shortName, kind, name, library])
        }
      }
      lines.append(table.text())
      for (library, failure) in found.problems {
        lines.append("\(Console.sanitized(library)): \(Console.sanitized(failure.message))")
        if let hint = failure.hint { lines.append("hint: \(Console.sanitized(hint))") }
      }
    case .failure(let error):
      let failure = Failure(error)
      lines.append(
        Console.heading("onnxruntime:") + " not available: "
          + Console.sanitized(failure.message))
      if let hint = failure.hint { lines.append("hint: \(Console.sanitized(hint))") }
    }
    return lines.joined(separator: "\n")
  }

  private static func json(_ found: Result<Found, EngineError>) -> JSON {
    var object: JSONObject = [
      "version": 1,
      "native": [
        "instruction_set": .string(EngineOptions.instructionSet),
        "threads": .integer(EngineOptions.coreCount),
        "dtypes": .array(precisions.map { .string($0.rawValue) }),
      ],
    ]
    switch found {
    case .success(let found):
      object["onnxruntime"] = [
        "path": .string(found.runtime.path), "version": .string(found.runtime.version),
        "providers": .array(found.providers.map { json($0) }),
        "problems": .array(
          found.problems.map { library, failure in
            [
              "library": .string(library), "message": .string(failure.message),
              "hint": failure.hint.map { .string($0) } ?? .null,
            ]
          }),
      ]
      object["problem"] = .null
    case .failure(let error):
      let failure = Failure(error)
      object["onnxruntime"] = .null
      object["problem"] = [
        "message": .string(failure.message), "hint": failure.hint.map { .string($0) } ?? .null,
      ]
    }
    return .object(object)
  }

  private static func json(_ provider: ExecutionProvider) -> JSON {
    [
      "name": .string(provider.name), "short_name": .string(provider.shortName),
      "plugin": .bool(provider.isPlugin),
      "library": provider.libraryPath.map { .string($0) } ?? .null,
      "devices": .array(
        provider.devices.map { device in
          var metadata = JSONObject()
          for (key, value) in device.metadata.sorted(by: { $0.key < $1.key }) {
            metadata[key] = .string(value)
          }
          return [
            "type": .string(device.kind.rawValue), "vendor": .string(device.vendor),
            "name": .string(device.name), "metadata": .object(metadata),
          ]
        }),
    ]
  }
}
