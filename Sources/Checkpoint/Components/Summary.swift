import ModelFormats
import ModelGraph
import OrderedJSON

/// The contents of a checkpoint, in numbers.
public struct Summary: Sendable {
  /// The numbers of one component.
  public struct ComponentSummary: Sendable {
    /// The component.
    public let name: ComponentName
    /// The class that its configuration names; nil if it names none.
    public let architecture: String?
    /// Distinct elements of learned tensors; values shared by two names count once.
    public let parameters: Int
    /// Elements of tensors that are not learned: position ids, noise schedules, counters, and graph
    /// constants of an ONNX model.
    public let buffers: Int
    /// Weights packed by a quantizer; their values before packing count as parameters if the file
    /// states their number.
    public let packed: [PackedWeights.Group]
    /// How many tensors it has.
    public let tensors: Int
    /// Bytes of all tensors as they are stored.
    public let bytes: Int
    /// The number of tensors per type, most frequent first.
    public let dtypes: [(dtype: DType, count: Int)]
    /// The number of tensors per stored type, including quantized blocks.
    public let storedTypes: [(name: String, count: Int)]
    /// Bytes if every floating-point tensor except buffers were F32 (or F16), with the others
    /// unchanged.
    public let bytesAsF32: Int
    /// The bytes that its weights would take as F16.
    public let bytesAsF16: Int
    /// The naming of the network's parameters in the file; nil if the network is unknown.
    public let naming: Naming?
    /// The origin of the configuration; nil if there is none.
    public let configurationOrigin: Configuration.Origin?
    /// Names of missing parameters, and of unexpected or wrong tensors.
    public let missing: [String]
    /// Tensors that the network does not have.
    public let unexpected: [String]
    /// Tensors of the wrong shape or dtype, in words.
    public let misfits: [String]
    /// The parameters by part of the network, in execution order; empty if unknown.
    public let terms: [Term]
  }

  /// A part of a network and its number of parameters.
  public struct Term: Sendable, Hashable {
    /// For example `token_embedding`, `layers.0` or `down_blocks.1`.
    public let name: String
    /// The elements of its parameters.
    public let parameters: Int
  }

  /// The checkpoint's file or directory.
  public let path: String
  /// The layout's name, ``ModelCheckpoint/Layout/name``.
  public let format: String
  /// The kind of model, and why.
  public let recognition: Recognition
  /// Each component.
  public let components: [ComponentSummary]
  /// Unused tensors: noise schedules, optimizer states, unknown keys.
  public let leftovers: [Leftover]
  /// The file's metadata: of safetensors, GGUF's key-value pairs; for an ONNX model its inputs,
  /// outputs and nodes by operator.
  public let metadata: [(key: String, value: String)]
  /// Other formats and variants of the same weights in a repository.
  public let unreadWeights: [UnreadWeights]
  /// What the user should know though the checkpoint was read.
  public let warnings: [String]
  /// What unpickling the files would run.
  public let safety: Safety

  /// Counts without reading values.
  public init(_ checkpoint: ModelCheckpoint) {
    path = checkpoint.path
    format = checkpoint.layout.name
    recognition = Recognition(checkpoint)
    components = checkpoint.components.map(ComponentSummary.init)
    leftovers = Leftover.of(checkpoint)
    let isFile = if case .file = checkpoint.layout { true } else { false }
    metadata = isFile ? checkpoint.components.first?.metadata ?? [] : []
    unreadWeights = checkpoint.unreadWeights
    warnings = checkpoint.warnings
    safety = checkpoint.safety
  }

  /// Parameters of all networks, without EMA weights of networks that are also present.
  public var parameters: Int {
    let names = Set(components.map(\.name))
    return components.reduce(0) { sum, component in
      let isCopy = component.name.averaged.map(names.contains) ?? false
      return sum + (isCopy ? 0 : component.parameters)
    }
  }
  /// The elements of all buffers, which are not trained.
  public var buffers: Int { components.reduce(0) { $0 + $1.buffers } }
  /// How many tensors there are.
  public var tensors: Int { components.reduce(0) { $0 + $1.tensors } }
  /// The bytes of all tensors as they are stored.
  public var bytes: Int { components.reduce(0) { $0 + $1.bytes } }
  /// The bytes that all weights would take as F32.
  public var bytesAsF32: Int { components.reduce(0) { $0 + $1.bytesAsF32 } }
  /// The bytes that all weights would take as F16.
  public var bytesAsF16: Int { components.reduce(0) { $0 + $1.bytesAsF16 } }

  /// The form that `sdinspect summary --json` prints.
  package var json: JSON {
    [
      "version": 1,
      "path": .string(path),
      "format": .string(format),
      "model": recognition.json,
      "family": recognition.familyJSON,
      "components": .array(components.map(\.json)),
      "totals": [
        "parameters": .integer(parameters), "buffers": .integer(buffers),
        "tensors": .integer(tensors), "bytes": .integer(bytes),
        "bytes_as": ["F32": .integer(bytesAsF32), "F16": .integer(bytesAsF16)],
      ],
      "leftovers": .array(leftovers.map(\.json)),
      "metadata": .array(
        metadata.map { ["key": .string($0.key), "value": .string($0.value)] }),
      "unread_weights": .array(unreadWeights.map(\.json)),
      "warnings": .array(warnings.map { .string($0) }),
      "safety": safety.json,
    ]
  }
}

extension Summary.ComponentSummary {
  init(_ component: Component) {
    name = component.name
    architecture = component.architecture
    tensors = component.tensors.count
    packed = component.packed.groups
    let known = component.tensors.map(\.name).filter {
      component.scales.isPart($0) || component.packed.isPart($0)
    }
    // Optimizer state is neither learned nor a network's buffer.
    let rest = component.manifest?.unexpected ?? component.tensors
    let text = NameText(rest.lazy.map(\.name))
    let states =
      Leftover.optimizerWords.contains(where: text.contains)
      ? Set(rest.map(\.name).filter(Leftover.isOfOptimizer)) : []
    let elements = Summary.elements(
      of: component.tensors.filter {
        !component.packed.isPart($0.name) && !states.contains($0.name)
      },
      buffers: Set(
        known + (component.manifest?.buffers ?? []).map(\.name)
          + component.graphConstants.map(\.name)))
    buffers = elements.buffers
    parameters = packed.reduce(elements.parameters) { sum, group in
      let (total, overflow) = sum.addingReportingOverflow(group.parameters ?? 0)
      return overflow ? sum : total
    }
    bytes = component.tensors.reduce(0) { $0 + $1.storedByteCount }
    var counts: [DType: Int] = [:]
    var stored: [String: Int] = [:]
    for tensor in component.tensors {
      counts[tensor.dtype, default: 0] += 1
      stored[tensor.encoding, default: 0] += 1
    }
    storedTypes = stored.map { (name: $0.key, count: $0.value) }
      .sorted { ($1.count, $0.name) < ($0.count, $1.name) }
    dtypes = counts.map { (dtype: $0.key, count: $0.value) }
      .sorted { ($1.count, $0.dtype.rawValue) < ($0.count, $1.dtype.rawValue) }
    // Scales are multiplied in when their weights are cast.
    let cast = component.tensors.filter { !component.scales.isPart($0.name) }
    bytesAsF32 = Summary.bytes(of: cast, as: .float32)
    bytesAsF16 = Summary.bytes(of: cast, as: .float16)
    naming = component.naming
    configurationOrigin = component.configuration?.origin
    missing = component.manifest?.missing.map(\.name) ?? []
    unexpected = component.manifest?.unexpected.map(\.name) ?? []
    misfits =
      (component.manifest?.wrongShape ?? []).map(\.tensor.name)
      + (component.manifest?.wrongType ?? []).map(\.tensor.name)
    terms = Summary.terms(of: component)
  }

  var json: JSON {
    var types = JSONObject()
    for (dtype, count) in dtypes { types[dtype.rawValue] = .integer(count) }
    var stored = JSONObject()
    for (name, count) in storedTypes { stored[name] = .integer(count) }
    return [
      "name": .string(name.rawValue),
      "architecture": architecture.map { .string($0) } ?? .null,
      "parameters": .integer(parameters),
      "buffers": .integer(buffers),
      "tensors": .integer(tensors),
      "bytes": .integer(bytes),
      "bytes_as": ["F32": .integer(bytesAsF32), "F16": .integer(bytesAsF16)],
      "dtypes": .object(types), "stored_types": .object(stored),
      "naming": naming.map {
        ["family": .string($0.family.rawValue), "prefix": .string($0.prefix)]
      } ?? .null,
      "configuration": configurationOrigin.map { .string($0.rawValue) } ?? .null,
      "missing": names(missing), "unexpected": names(unexpected), "misfits": names(misfits),
      "terms": .array(
        terms.map { ["name": .string($0.name), "parameters": .integer($0.parameters)] }),
      "packed": .array(
        packed.map { group in
          [
            "kind": .string(group.method.rawValue), "weights": .integer(group.weights.count),
            "parameters": group.parameters.map { .integer($0) } ?? .null,
          ]
        }),
    ]
  }
}

extension Summary.ComponentSummary {
  /// The count and the first names.
  private func names(_ names: [String]) -> JSON {
    [
      "count": .integer(names.count),
      "names": .array(names.prefix(Leftover.nameLimit).map { .string($0) }),
    ]
  }
}

extension Summary {
  /// Bytes of the tensors after a cast to that type.
  static func bytes(of tensors: [Tensor], as dtype: DType) -> Int {
    tensors.reduce(0) { sum, tensor in
      let type =
        isBuffer(tensor) ? tensor.dtype : Cast.result(of: tensor.dtype, requested: dtype)
      return sum + (tensor.shape.byteCount(of: type) ?? 0)
    }
  }

  /// Distinct elements of learned tensors, and elements of others. Shared values, such as tied
  /// weights and views of one storage, count once.
  ///
  /// - Parameter buffers: names of tensors known not to be learned.
  package static func elements(
    of tensors: [Tensor], buffers known: Set<String> = []
  ) -> (parameters: Int, buffers: Int) {
    var parameters = 0
    var buffers = 0
    var extents: [Extent] = []
    for tensor in tensors {
      if known.contains(tensor.name) || isBuffer(tensor) {
        buffers += tensor.elementCount
      } else if let extent = Extent(tensor) {
        extents.append(extent)
      } else {
        parameters += tensor.elementCount
      }
    }
    extents.sort { ($0.file, $0.range.lowerBound) < ($1.file, $1.range.lowerBound) }
    var file: UInt?
    var end = 0
    for extent in extents {
      if extent.file != file { (file, end) = (extent.file, 0) }
      let fresh = extent.range.upperBound - max(extent.range.lowerBound, end)
      if fresh > 0 {
        let (count, bytes) = (extent.elementCount, extent.range.count)
        parameters += bytes.dividingFullWidth(fresh.multipliedFullWidth(by: count)).quotient
      }
      end = max(end, extent.range.upperBound)
    }
    return (parameters, buffers)
  }

  /// The location of a tensor's values in a file.
  private struct Extent {
    let file: UInt
    let range: Range<Int>
    let elementCount: Int

    init?(_ tensor: Tensor) {
      let count = tensor.storedByteCount
      guard let file = tensor.file, let offset = tensor.offset, count > 0 else { return nil }
      self.file = UInt(bitPattern: ObjectIdentifier(file))
      range = offset..<offset + count
      elementCount = tensor.elementCount
    }
  }

  /// Whether a tensor is not learned, judged by type and name.
  static func isBuffer(_ tensor: Tensor) -> Bool {
    switch tensor.dtype {
    case .bool, .int8, .uint8, .int16, .uint16, .int32, .uint32, .int64, .uint64: return true
    default: break
    }
    // In many merged checkpoints, position ids were cast to floating point.
    let dot = tensor.name.utf8.lastIndex(of: UInt8(ascii: "."))
    let last = dot.map { tensor.name[tensor.name.utf8.index(after: $0)...] } ?? tensor.name[...]
    return last == "position_ids" || last == "running_mean" || last == "running_var"
      || SingleFileLayout.isBuffer(tensor.name)
  }

  fileprivate static func terms(of component: Component) -> [Term] {
    var names: [String] = []
    var counts: [String: Int] = [:]
    for parameter in component.manifest?.parameters ?? [] {
      guard component.manifest?.position(parameter.name) != nil else { continue }
      let name = term(of: parameter.name)
      if counts[name] == nil { names.append(name) }
      counts[name, default: 0] += parameter.elementCount
    }
    return names.map { Term(name: $0, parameters: counts[$0] ?? 0) }
  }

  /// The part of the network with a parameter: the module below the root, or one of its numbered
  /// children.
  private static func term(of parameter: String) -> String {
    var path = parameter.split(separator: ".")[...]
    if path.first == "text_model" { path = path.dropFirst() }
    if path.first == "embeddings" || path.dropFirst().first == "layers" { path = path.dropFirst() }
    let number = path.dropFirst().first.flatMap { Int($0) }
    return (path.first.map(String.init) ?? "") + (number.map { ".\($0)" } ?? "")
  }
}
