import ModelFormats
import OrderedJSON

extension Conversion {
  /// Carries the plan out.
  ///
  /// Output appears at the target's path when it is complete and flushed to the disk; until then,
  /// and after an error, whatever was there stays as it was. The source may be the same path.
  ///
  /// - Parameter progress: called before each tensor and after each piece of it.
  /// - Throws: ``FormatError`` `cannotCreate` where the output exists, `inputOutput`, or `mismatch`
  ///   naming the tensor whose values F16 cannot hold.
  public func execute(
    _ progress: @escaping (Progress) -> Void = { _ in }
  ) throws(FormatError) {
    // New checksums would make damage in the source look sound.
    try source.requireUndamaged()
    let meter = ProgressMeter(total: byteCount, progress)
    switch target {
    case .sdflat: try writeFlat(meter)
    case .safetensors where isDirectory: try writeRepository(meter)
    case .safetensors:
      for part in parts { try writeSafetensors(part, to: path, options.overwrite, meter) }
    }
  }

  // MARK: Flat

  private func writeFlat(_ meter: ProgressMeter) throws(FormatError) {
    let digests = BackgroundDigests(of: try sourceFiles())
    defer { digests.cancel() }
    let placeholder = sourceFileNames.map { _ in String(repeating: "0", count: 64) }
    var writer = try FlatWriter(
      path: path, header: flatHeader(provenance: provenance(placeholder)),
      overwrite: options.overwrite)
    for (index, file) in files.enumerated() { try writer.write(file: index, file.bytes) }
    for (component, part) in parts.enumerated() {
      for (index, step) in part.tensors.enumerated() {
        try writer.write(component: component, tensor: index) { (write) throws(FormatError) in
          try stream(step, of: part, meter, write)
        }
      }
    }
    try writer.commit(provenance: provenance(digests.wait()))
  }

  private func flatHeader(provenance: JSON) -> FlatHeader {
    let paths = Set(files.map(\.path))
    var header = FlatHeader(
      files: files.map { .init(path: $0.path, region: .init(byteCount: $0.byteCount)) },
      components: parts.map { part in
        let configuration = "\(part.component.name)/config.json"
        return .init(
          name: part.component.name, architecture: part.component.architecture,
          configuration: paths.contains(configuration) ? configuration : nil,
          tensors: part.tensors.map { step in
            .init(
              name: step.tensor.name, dtype: step.dtype, shape: step.tensor.shape,
              region: .init(byteCount: step.byteCount))
          }, extensions: part.component.extensions)
      }, provenance: provenance)
    header.extensions = source.extensions
    return header
  }

  /// The files that hold the tensors, each once.
  private var sourceFileNames: [String] {
    var names: [String] = []
    for name in parts.flatMap(\.component.files) where !names.contains(name) {
      names.append(name)
    }
    return names
  }

  private func sourceFiles() throws(FormatError) -> [MappedFile] {
    var files: [MappedFile] = []
    for name in sourceFileNames { files.append(try MappedFile(path: name)) }
    return files
  }

  /// Where the tensors came from, and how: the same input gives the same bytes.
  private func provenance(_ digests: [String]) -> JSON {
    var sources: [JSON] = []
    for (name, digest) in zip(sourceFileNames, digests) {
      sources.append(["path": .string(relative(name)), "sha256": .string(digest)])
    }
    var conversion = JSONObject()
    conversion["component"] = options.component.map { .string($0.rawValue) }
    conversion["dtype"] = options.dtype.map { .string($0.rawValue) }
    if options.saturate { conversion["saturate"] = true }
    var object = JSONObject([
      "tool": .string("sdkit \(toolVersion)"), "options": .object(conversion),
      "sources": .array(sources),
    ])
    object["previous"] = source.provenance
    return .object(object)
  }

  /// A path inside the repository, or a file's name.
  private func relative(_ path: String) -> String {
    if path.hasPrefix(source.path + "/") { return String(path.dropFirst(source.path.count + 1)) }
    return path.split(separator: "/").last.map(String.init) ?? path
  }

  // MARK: Safetensors

  private func writeSafetensors(
    _ part: Part, to path: String, _ overwrite: Bool, _ meter: ProgressMeter
  ) throws(FormatError) {
    // diffusers and transformers refuse files whose metadata does not name the framework.
    var metadata = part.component.metadata.filter { $0.key != "format" }
    metadata.insert((key: "format", value: "pt"), at: 0)
    let writer = try SafetensorsWriter(
      path: path,
      tensors: part.tensors.map { step in
        TensorInfo(name: step.tensor.name, dtype: step.dtype, shape: step.tensor.shape)
      }, metadata: metadata, overwrite: overwrite)
    for step in part.tensors {
      try stream(step, of: part, meter) { (bytes) throws(FormatError) in try writer.write(bytes) }
    }
    try writer.commit()
  }

  private func writeRepository(_ meter: ProgressMeter) throws(FormatError) {
    let space = byteCount + files.reduce(0) { $0 + $1.byteCount }
    let places = files.map(\.path) + parts.map(\.output)
    let directory = try DirectoryWriter(
      path: path, overwrite: options.overwrite,
      entries: Set(places.map { String($0.prefix { $0 != "/" }) }), byteCount: space)
    for file in files {
      let writer = try FileWriter(path: try directory.place(for: file.path))
      try writer.write(file.bytes)
      try writer.commit()
    }
    for part in parts {
      try writeSafetensors(part, to: try directory.place(for: part.output), false, meter)
    }
    try directory.commit()
  }

  private func stream(
    _ step: Step, of part: Part, _ meter: ProgressMeter,
    _ write: (UnsafeRawBufferPointer) throws(FormatError) -> Void
  ) throws(FormatError) {
    meter.start(part.component.name, step.tensor.name)
    try step.tensor.withPieces(as: step.dtype, saturating: options.saturate) {
      (bytes) throws(FormatError) in
      try write(bytes)
      meter.advance(bytes.count)
    }
  }
}

/// Adds up bytes and tells a listener.
private final class ProgressMeter {
  private let total: Int
  private let report: (Conversion.Progress) -> Void
  private var done = 0
  private var component = ComponentName.model
  private var tensor = ""

  init(total: Int, _ report: @escaping (Conversion.Progress) -> Void) {
    self.total = total
    self.report = report
  }

  func start(_ component: ComponentName, _ tensor: String) {
    self.component = component
    self.tensor = tensor
    advance(0)
  }

  func advance(_ count: Int) {
    done += count
    report(
      Conversion.Progress(
        bytesDone: done, bytesTotal: total, component: component, tensor: tensor))
  }
}
