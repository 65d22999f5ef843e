import FlatFormat
import ModelFormats
import OrderedJSON
import Threads

extension Conversion {
  /// The result of an execution, beyond the plan.
  public struct Outcome: Sendable {
    /// Tensors with clamped values and their number, by new type.
    public let saturated: [(tensor: String, count: Int, dtype: DType)]
  }

  /// Executes the plan.
  ///
  /// Output appears at the target's path when it is complete and flushed to disk; until then, and
  /// after an error, the previous contents are unchanged.
  ///
  /// - Parameter progress: called before each tensor and after each piece of it.
  /// - Throws:
  ///   ``FormatError`` `cannotCreate` if the output exists, `inputOutput`, also if the source changed meanwhile, or `mismatch`
  ///   with the tensors whose values exceed F16.
  @discardableResult
  public func execute(
    _ progress: @escaping (Progress) -> Void = { _ in }
  ) throws(FormatError) -> Outcome {
    let check = SourceCheck(of: source, parts.flatMap { $0.tensors.flatMap(\.sources) })
    defer { check.cancel() }
    let meter = ProgressMeter(total: byteCount, progress)
    if container == .sdflat {
      try writeFlat(meter, check)
    } else if isDirectory {
      try writeDirectory(meter, check)
    } else {
      for part in parts { try write(part, to: path, options.overwrite, meter, check) }
    }
    return Outcome(saturated: meter.saturated)
  }

  // MARK: Flat

  private func writeFlat(_ meter: ProgressMeter, _ check: SourceCheck) throws(FormatError) {
    let digests = BackgroundDigests(of: options.hashSources ? try mappedSources() : [])
    defer { digests.cancel() }
    let placeholder = sourceFiles.map { _ in String(repeating: "0", count: 64) }
    let writer = try FlatWriter(
      path: path, header: flatHeader(provenance: provenance(placeholder)),
      overwrite: options.overwrite)
    for (index, file) in files.enumerated() { try writer.write(file: index, file.bytes) }
    let places = parts.indices.flatMap { part in
      parts[part].tensors.indices.map { (part: part, tensor: $0) }
    }
    let pump = try move(parts, into: writer, meter) { (index) throws(FormatError) in
      try writer.begin(component: places[index].part, tensor: places[index].tensor)
    }
    for (index, place) in places.enumerated() {
      writer.setChecksum(
        component: place.part, tensor: place.tensor, pump.checksum(index))
    }
    try requireUnchanged()
    try check.requireSound()
    try writer.commit(provenance: provenance(digests.wait()))
  }

  private func flatHeader(provenance: JSON) -> FlatHeader {
    let paths = Set(files.map(\.path))
    var header = FlatHeader(
      files: files.map { .init(path: $0.path, region: .init(byteCount: $0.byteCount)) },
      components: parts.map { part in
        let configuration = "\(part.component.name)/config.json"
        return .init(
          name: part.component.name.rawValue, architecture: part.component.architecture,
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

  private func mappedSources() throws(FormatError) -> [MappedFile] {
    var files: [MappedFile] = []
    for name in sourceFiles { files.append(try MappedFile(path: name)) }
    return files
  }

  /// The origin of the tensors and the options: the same input gives the same bytes.
  private func provenance(_ digests: [String]) -> JSON {
    var sources: [JSON] = []
    for (index, name) in sourceFiles.enumerated() {
      var source: JSONObject = ["path": .string(relative(name))]
      if options.hashSources { source["sha256"] = .string(digests[index]) }
      sources.append(.object(source))
    }
    var conversion = JSONObject()
    conversion["components"] = options.components.map { names in
      .array(names.map { .string($0.rawValue) })
    }
    conversion["dtype"] = options.dtype.map { .string($0.rawValue) }
    if options.saturate { conversion["saturate"] = true }
    if options.useAverages { conversion["ema"] = true }
    if options.dropUnknown { conversion["drop_unknown"] = true }
    var object = JSONObject([
      "tool": .string("sdloom \(toolVersion)"), "options": .object(conversion),
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

  // MARK: Files of tensors

  private func write(
    _ part: Part, to path: String, _ overwrite: Bool, _ meter: ProgressMeter,
    _ check: SourceCheck? = nil
  ) throws(FormatError) {
    let writer = try self.writer(of: part, at: path, overwrite)
    _ = try move([part], into: writer, meter) { _ in }
    try requireUnchanged()
    try check?.requireSound()
    try writer.commit()
  }

  /// - Throws: ``FormatError`` `inputOutput` if a file with tensors changed since it was opened.
  private func requireUnchanged() throws(FormatError) {
    var seen: Set<ObjectIdentifier> = []
    for tensor in parts.flatMap({ $0.tensors.flatMap(\.sources) }) {
      guard let file = tensor.file, seen.insert(ObjectIdentifier(file)).inserted else { continue }
      try file.requireUnchanged()
    }
  }

  private func writer(
    of part: Part, at path: String, _ overwrite: Bool
  ) throws(FormatError) -> any TensorWriter & TensorSink {
    let tensors = part.tensors.map { step in
      TensorInfo(name: step.tensor.name, dtype: step.dtype, shape: step.tensor.shape)
    }
    switch container {
    case .pytorch:
      // Single files store the weights like training checkpoints; in repositories they are at the
      // top level.
      if let object = part.object {
        return try TorchWriter(path: path, tensors: tensors, object: object, overwrite: overwrite)
      }
      return try TorchWriter(
        path: path, tensors: tensors, under: target == .ldm ? "state_dict" : nil,
        overwrite: overwrite)
    case .gguf:
      let quantized = Set(part.tensors.filter(\.isQuantized).map(\.tensor.name))
      return try GGUFWriter(
        path: path, tensors: tensors, metadata: ggufMetadata, overwrite: overwrite
      ) { quantized.contains($0.name) ? .q80 : nil }
    case .safetensors, .sdflat:
      return try SafetensorsWriter(
        path: path, tensors: tensors, metadata: safetensorsMetadata(of: part),
        overwrite: overwrite)
    default:
      throw FormatError(
        .internalFault, "no writer for \(container.rawValue)", file: path,
        hint: "this is a bug; nothing was written")
    }
  }

  private func safetensorsMetadata(of part: Part) -> [(key: String, value: String)] {
    // Metadata of other formats does not concern tensors.
    var metadata = Conversion.metadata(of: part.component)
    // diffusers and transformers reject files without `format` in the metadata.
    metadata.insert((key: "format", value: "pt"), at: 0)
    if let predictionMark { metadata.append(predictionMark) }
    return metadata + (isDirectory ? [] : EmbeddedFiles.pairs(files))
  }

  /// The metadata of a safetensors file except its format and embedded files; for a GGUF file,
  /// entries that came from one.
  static func metadata(of component: Component) -> [(key: String, value: String)] {
    let own = component.metadata.filter { $0.key != "format" && !EmbeddedFiles.isKey($0.key) }
    switch component.format {
    case .safetensors: return own
    case .gguf:
      let prefixes = ggufPrefixes(component)
      return own.filter { !prefixes.contains(where: $0.key.hasPrefix) }
    default: return []
    }
  }

  /// GGUF metadata that a conversion does not carry over, except the architecture and storage
  /// details.
  static func ggufMetadata(of component: Component) -> [(key: String, value: String)] {
    guard component.format == .gguf else { return [] }
    let structure = [
      "general.architecture", "general.alignment", "general.quantization_version",
      "general.file_type", "split.", GGUF.originalShape,
    ]
    let prefixes = ggufPrefixes(component)
    return component.metadata.filter { pair in
      prefixes.contains(where: pair.key.hasPrefix)
        && !structure.contains(where: pair.key.hasPrefix)
    }
  }

  /// Key prefixes defined by the GGUF specification or an architecture.
  private static func ggufPrefixes(_ component: Component) -> [String] {
    let architecture = component.metadata.first { $0.key == "general.architecture" }?.value
    return ["general.", "split.", "tokenizer.", "quantize.", "adapter.", "training.", "comfy."]
      + (architecture.map { ["\($0)."] } ?? [])
  }

  /// Whether GGUF can store a safetensors metadata entry: `general.` is reserved, and readers treat
  /// long values as lists.
  static func isCarriedToGGUF(_ pair: (key: String, value: String)) -> Bool {
    pair.value.utf8.count <= 60_000 && !pair.key.hasPrefix("general.")
  }

  private var ggufMetadata: [(key: String, value: GGUFWriter.Value)] {
    var pairs = EmbeddedFiles.pairs(files)
    let own = parts.first.map { Conversion.metadata(of: $0.component) } ?? []
    pairs += own.filter(Conversion.isCarriedToGGUF)
    if let predictionMark { pairs.append(predictionMark) }
    if let architecture = Recognition(source).kind.ggufArchitecture {
      pairs.insert((key: "general.architecture", value: architecture), at: 0)
    }
    return pairs.map { (key: $0.key, value: .text($0.value)) }
  }

  private func writeDirectory(
    _ meter: ProgressMeter, _ check: SourceCheck
  ) throws(FormatError) {
    let space = byteCount + files.reduce(0) { $0 + $1.byteCount }
    // A single component's directory contains its files directly.
    let own = parts.count == 1 ? "\(parts[0].component.name)/" : ""
    let files = files.map { file in
      (
        place: file.path.hasPrefix(own) ? String(file.path.dropFirst(own.count)) : file.path,
        bytes: file.bytes
      )
    }
    let places = files.map(\.place) + parts.map(\.output)
    let directory = try DirectoryWriter(
      path: path, overwrite: options.overwrite,
      entries: Set(places.map { String($0.prefix { $0 != "/" }) }), byteCount: space)
    do throws(FormatError) {
      for file in files {
        let writer = try FileWriter(path: try directory.place(for: file.place))
        try writer.write(file.bytes)
        try writer.commit()
      }
      for part in parts {
        try write(part, to: try directory.place(for: part.output), false, meter)
      }
    } catch {
      throw directory.atItsPlace(error)
    }
    try requireUnchanged()
    try check.requireSound()
    try directory.commit()
  }

  // MARK: Values

  private func move(
    _ parts: [Part], into sink: some TensorSink, _ meter: ProgressMeter,
    begin: (Int) throws(FormatError) -> Void
  ) throws(FormatError) -> TensorPump {
    // A step with several source tensors has an item for each; .sdflat files have no such steps, so
    // there items and tensors have the same numbers.
    let items = parts.flatMap(\.tensors).flatMap { step in
      step.sources.map { (step: step, tensor: $0) }
    }
    let pump = TensorPump(
      items.map { .init(tensor: $0.tensor, dtype: $0.step.dtype) },
      isSaturating: options.saturate, isHashing: container == .sdflat)
    let overflows = try pump.run(into: sink) { (index) throws(FormatError) in
      try begin(index)
      meter.start(items[index].step.component, items[index].step.tensor.name)
    } advance: { _, count in
      meter.advance(count)
    }
    let named = overflows.map { (tensor: items[$0.index].step.tensor.name, count: $0.count) }
    meter.saturated += overflows.map { overflow in
      let step = items[overflow.index].step
      return (step.tensor.name, overflow.count, step.dtype)
    }
    guard options.saturate || named.isEmpty else {
      throw overflow(named, overflows.first.map { items[$0.index].step.dtype } ?? .float16)
    }
    return pump
  }

  private func overflow(
    _ tensors: [(tensor: String, count: Int)], _ dtype: DType
  ) -> FormatError {
    let count = tensors.reduce(0) { $0 + $1.count }
    let shown = tensors.prefix(20).map { "\($0.count) of \($0.tensor)" }.joined(separator: ", ")
    let more = tensors.count > 20 ? " and \((tensors.count - 20).of("more tensor"))" : ""
    return FormatError(
      .mismatch,
      "\(count.of("value is", "values are")) \(Cast.overflowReason(dtype)): \(shown)\(more)",
      file: source.path, context: tensors.first?.tensor,
      hint: Cast.overflowHint(dtype, verb: "convert"))
  }
}

/// Sums bytes and reports progress.
private final class ProgressMeter {
  private let total: Int
  private let report: (Conversion.Progress) -> Void
  private var done = 0
  private var component = ComponentName.model
  private var tensor = ""
  var saturated: [(tensor: String, count: Int, dtype: DType)] = []

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
