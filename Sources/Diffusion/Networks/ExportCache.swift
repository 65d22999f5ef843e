import CLinux
import Checkpoint
import Crypto
import Glibc
import ModelFormats
import ModelGraph
import ONNXExport

/// Networks exported as ONNX, one directory for each graph with its weights.
///
/// An entry's name has the SHA-256 of the graph and of all weights, so it never goes stale. Its files
/// are moved into place when they are complete, so that several processes can use the cache at once.
/// Above its limit, entries that no process uses are removed, those used least recently first.
package struct ExportCache: Sendable {
  /// A directory of the cache, locked against removal while this exists.
  package final class Entry: Sendable {
    /// The directory.
    package let directory: String
    /// The model file in it.
    package var modelPath: String { "\(directory)/\(ExportCache.modelFile)" }
    private let descriptor: Int32

    /// Nil if there is no complete entry at this path.
    init?(_ directory: String) {
      // The directory itself is locked: shared to use it, exclusively to remove it.
      let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      guard descriptor >= 0 else { return nil }
      sdk_lock_shared(descriptor)
      guard access("\(directory)/\(ExportCache.modelFile)", R_OK) == 0 else {
        close(descriptor)
        return nil
      }
      self.directory = directory
      self.descriptor = descriptor
      // Its time of change says when it was used last.
      futimens(descriptor, nil)
    }

    deinit { close(descriptor) }
  }

  /// Where the entries are.
  package let directory: String
  private let limit: Int

  private static let modelFile = "model.onnx"

  /// - Parameters:
  ///   - directory: nil for `SDLOOM_CACHE`, `$XDG_CACHE_HOME/sdloom/onnx` or `~/.cache/sdloom/onnx`.
  ///   - limit: bytes.
  /// - Throws: ``FormatError`` `cannotCreate` if no directory is known.
  package init(_ directory: String? = nil, limit: Int) throws(FormatError) {
    if let directory {
      self.directory = directory
    } else {
      self.directory = try Self.usualDirectory()
    }
    self.limit = limit
  }

  private static func usualDirectory() throws(FormatError) -> String {
    func variable(_ name: String) -> String? {
      getenv(name).map { FileName.text($0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    if let directory = variable("SDLOOM_CACHE") { return directory }
    if let cache = variable("XDG_CACHE_HOME"), cache.hasPrefix("/") {
      return cache + "/sdloom/onnx"
    }
    if let home = variable("HOME") { return home + "/.cache/sdloom/onnx" }
    throw FormatError(
      .cannotCreate, "there is no home directory for the cache of exported networks",
      hint: "set SDLOOM_CACHE to a directory")
  }

  /// The entry of a graph with its weights, exported if there is none.
  ///
  /// - Parameter progress: called with a number that grows to twice the number of parameters, and
  ///   with that.
  /// - Throws: ``FormatError`` if it cannot be written; what `parameters` throws.
  package func entry(
    _ graph: Graph, usesHalfPrecision: Bool, parameters: (String) throws -> Tensor,
    progress: ((Int, Int) -> Void)? = nil
  ) throws -> Entry {
    let count = graph.parameters.count
    let tensors = try graph.parameters.map { try parameters($0.name) }
    let byteCount = tensors.reduce(0) { $0 + $1.byteCount }
    let digests = try TensorDigest.sha256(of: tensors) { done in
      progress?(Int(Double(count) * Double(done) / Double(max(1, byteCount))), 2 * count)
    }
    let path = "\(directory)/\(Self.name(graph, digests, usesHalfPrecision))"
    if let entry = Entry(path) {
      progress?(2 * count, 2 * count)
      return entry
    }
    makeRoom(for: byteCount)
    // A parameter that several nodes use occurs once for each.
    let byName = Dictionary(zip(graph.parameters.map(\.name), tensors)) { first, _ in first }
    do throws(FormatError) {
      try export(graph, byName, usesHalfPrecision, to: path) { fraction in
        progress?(count + Int(fraction * Double(count)), 2 * count)
      }
    } catch {
      // Another process may have been faster.
      if let entry = Entry(path) { return entry }
      throw error
    }
    guard let entry = Entry(path) else {
      throw FormatError(
        .inputOutput, "another process removed the exported network", file: path,
        hint: "run it again")
    }
    return entry
  }

  private func export(
    _ graph: Graph, _ tensors: [String: Tensor], _ usesHalfPrecision: Bool, to directory: String,
    progress: (Double) -> Void
  ) throws(FormatError) {
    var options = ExportOptions()
    options.precision = usesHalfPrecision ? .f16 : .f32
    options.vaeInSinglePrecision = true
    options.saturate = true
    // Weights without a model are left of an entry that was being written or removed.
    options.overwrite = true
    _ = try ONNXExporter.export(
      graph,
      parameters: { (name) throws(FormatError) in
        guard let tensor = tensors[name] else {
          throw FormatError(.mismatch, "no tensor for this parameter", context: name)
        }
        return tensor
      }, to: directory, options: options,
      progress: { progress(Double($0.bytesDone) / Double(max(1, $0.bytesTotal))) })
  }

  /// The graph's name and a SHA-256 of all that the export depends on.
  private static func name(_ graph: Graph, _ digests: [String], _ usesHalfPrecision: Bool) -> String
  {
    var hash = SHA256()
    func add(_ text: String) { hash.update(data: Array((text + "\n").utf8)) }
    // Counts up when exports of the same graph change.
    add("format 1, \(usesHalfPrecision ? "f16" : "f32")")
    for value in graph.values { add("\(value)") }
    for node in graph.nodes { add("\(node)") }
    add("\(graph.inputs) \(graph.outputs)")
    for (parameter, digest) in zip(graph.parameters, digests) {
      add("\(parameter.name) \(parameter.shape) \(digest)")
    }
    let digest = hash.finalize().map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    return "\(graph.name)-\(digest.prefix(40))"
  }

  /// Removes the entries used least recently until so many bytes more fit. Entries in use stay.
  private func makeRoom(for byteCount: Int) {
    var entries: [(path: String, size: Int, used: timespec)] = []
    for name in Self.names(in: directory) {
      let path = "\(directory)/\(name)"
      var status = stat()
      guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
        access("\(path)/\(Self.modelFile)", F_OK) == 0
      else { continue }
      entries.append((path, Self.size(of: path), status.st_mtim))
    }
    var total = entries.reduce(byteCount) { $0 + $1.size }
    entries.sort { ($0.used.tv_sec, $0.used.tv_nsec) < ($1.used.tv_sec, $1.used.tv_nsec) }
    for entry in entries where total > limit {
      let descriptor = open(entry.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      guard sdk_lock(descriptor) == 0 else { continue }
      // The model first: without it, the directory is no entry.
      unlink("\(entry.path)/\(Self.modelFile)")
      Self.remove(entry.path)
      total -= entry.size
    }
  }

  /// Removes a directory with its files and directories.
  private static func remove(_ path: String) {
    for name in names(in: path) {
      let child = "\(path)/\(name)"
      // A link to a directory is unlinked, never followed.
      if unlink(child) != 0 { remove(child) }
    }
    rmdir(path)
  }

  private static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = FileWriter.name(of: entry)
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  private static func size(of directory: String) -> Int {
    names(in: directory).reduce(0) { sum, name in
      var status = stat()
      let path = "\(directory)/\(name)"
      guard lstat(path, &status) == 0 else { return sum }
      return sum + (status.st_mode & S_IFMT == S_IFDIR ? size(of: path) : Int(status.st_size))
    }
  }
}
