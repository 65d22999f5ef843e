import Glibc
import ModelFormats

/// The places where ONNX Runtime and its plug-ins are looked for.
enum RuntimePlaces {
  /// The names that the dynamic loader knows, if a package of the system has the library.
  static let names = ["libonnxruntime.so.1", "libonnxruntime.so"]

  /// The libraries in a folder: its own, or those of a prefix, of Python's packages in it, or of a
  /// virtual environment.
  static func libraries(in folder: String) -> [String] {
    ["", "lib/", "lib64/", "capi/", "onnxruntime/capi/"].flatMap {
      files("\(escaped(folder))/\($0)libonnxruntime.so*")
    } + packages(in: folder).flatMap { files("\(escaped($0))/onnxruntime/capi/libonnxruntime.so*") }
  }

  /// The libraries of PyPI's package in the Pythons at hand.
  static var installedLibraries: [String] {
    pythonPackages.flatMap { files("\(escaped($0))/onnxruntime/capi/libonnxruntime.so*") }
  }

  /// The plug-ins of a provider: next to the library's own package first.
  static func plugins(of provider: KnownProvider, besides library: String) -> [String] {
    guard let folder = provider.folder else { return [] }
    // .../site-packages/onnxruntime/capi/libonnxruntime.so
    let parts = library.split(separator: "/", omittingEmptySubsequences: false)
    let own = parts.count > 3 ? [parts.dropLast(3).joined(separator: "/")] : []
    return unique(own + pythonPackages).flatMap {
      files("\(escaped($0))/\(folder)/libonnxruntime_providers_*.so")
    }
  }

  /// The package folders of the Pythons at hand: the active virtual environment, `python3` in PATH,
  /// the user's own and the system's.
  private static var pythonPackages: [String] {
    var prefixes: [String] = []
    if let environment = variable("VIRTUAL_ENV") { prefixes.append(environment) }
    for folder in (variable("PATH") ?? "").split(separator: ":") {
      let program = "\(folder)/python3"
      guard ModelFormats.access(program, X_OK) == 0 else { continue }
      prefixes.append(parent(of: String(folder)))
      if let real = resolved(program) { prefixes.append(parent(of: parent(of: real))) }
    }
    if let home = variable("HOME") { prefixes.append("\(home)/.local") }
    return unique(
      (prefixes + ["/usr/local", "/usr"]).flatMap { packages(in: $0) }
        + ["/usr/lib/python3/dist-packages"])
  }

  private static func packages(in prefix: String) -> [String] {
    files("\(escaped(prefix))/lib/python3*/site-packages")
      + files("\(escaped(prefix))/lib/python3*/dist-packages")
  }

  /// The path without symbolic links; nil if there is no such file.
  static func resolved(_ path: String) -> String? {
    guard let text = ModelFormats.realpath(path, nil) else { return nil }
    defer { free(text) }
    return FileName.text(text)
  }

  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// The files next to a library whose names start so.
  static func neighbors(of library: String, startingWith name: String) -> [String] {
    files("\(escaped(parent(of: library)))/\(name)*")
  }

  static func variable(_ name: String) -> String? {
    getenv(name).map { FileName.text($0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  private static func files(_ pattern: String) -> [String] {
    var matches = glob_t()
    defer { globfree(&matches) }
    let status = FileName.bytes(pattern).withUnsafeBufferPointer {
      glob($0.baseAddress, 0, nil, &matches)
    }
    guard status == 0 else { return [] }
    return (0..<Int(matches.gl_pathc)).compactMap { index in
      matches.gl_pathv[index].map { FileName.text($0) }
    }
  }

  /// The path as a pattern that matches only itself.
  private static func escaped(_ path: String) -> String {
    path.reduce(into: "") { result, character in
      if "*?[\\".contains(character) { result += "\\" }
      result.append(character)
    }
  }

  private static func unique(_ paths: [String]) -> [String] {
    var seen: Set<String> = []
    return paths.filter { seen.insert(resolved($0) ?? $0).inserted }
  }
}
