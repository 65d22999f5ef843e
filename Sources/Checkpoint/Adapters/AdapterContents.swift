import ModelFormats

/// The tensors of an adapter for one layer.
struct AdapterLayer: Sendable {
  /// Its name in the file.
  let name: String
  private(set) var tensors: [AdapterPart: Tensor] = [:]
  /// Tensors of unsupported methods.
  private(set) var foreign: [Tensor] = []
  /// In the order of the file.
  private(set) var all: [Tensor] = []
  /// Indices into ``AdapterMethod/all``, each once, in order.
  private(set) var methods: Set<Int> = []
  /// Whether the configuration says that its factors apply to inputs.
  var isOfInputs: Bool?
  /// Tensors below the layer's name that belong to no method.
  fileprivate(set) var strange: [String] = []

  subscript(part: AdapterPart) -> Tensor? { tensors[part] }

  /// - Throws: ``FormatError`` `malformed` if the layer has no such tensor.
  func require(_ part: AdapterPart) throws(FormatError) -> Tensor {
    guard let tensor = tensors[part] else {
      throw FormatError(.malformed, "missing \(part.rawValue)", context: name)
    }
    return tensor
  }

  fileprivate init(_ name: String) {
    self.name = name
  }

  fileprivate mutating func add(_ tensor: Tensor, _ part: AdapterPart, _ method: Int?) {
    all.append(tensor)
    if let method { methods.insert(method) }
    if part == .foreign {
      foreign.append(tensor)
    } else if tensors[part] == nil {
      tensors[part] = tensor
    } else {
      strange.append(tensor.name)
    }
  }

  /// The magnitudes of the weight, if present: DoRA.
  var magnitude: Tensor? { tensors[.outputScale] ?? tensors[.magnitude] }

  /// The methods that change the weight; more than one cannot be combined.
  var weightMethods: [AdapterMethod] {
    let found = methods.sorted().map { AdapterMethod.all[$0] }.filter {
      $0.weight == nil || !$0.parts.subtracting($0.biasParts).isDisjoint(with: tensors.keys)
    }
    // An unsupported method gives the layer its name.
    return found.filter { $0.weight == nil } + found.filter { $0.weight != nil }
  }

  /// The name of its method, including DoRA.
  var methodName: String {
    let known = methods.sorted().map { AdapterMethod.all[$0] }
    guard let method = weightMethods.first ?? known.first else {
      return magnitude == nil ? "an unknown method" : "DoRA"
    }
    if let rotation = tensors[.rotation], rotation.shape.rank == 4 { return "BOFT" }
    guard magnitude != nil else { return method.name }
    return method.name == AdapterMethod.lora.name ? "DoRA" : "\(method.name) with DoRA"
  }

  /// A tensor that identifies the layer's method.
  var first: Tensor? {
    let shared = [self[.alpha]?.name, self[.onInput]?.name]
    return all.first { !shared.contains($0.name) } ?? all.first
  }

  /// Rows and columns of the weight, if the tensors determine them; for convolutions, columns per
  /// kernel position.
  var size: (outputs: Int?, inputs: Int?) {
    func row(_ part: AdapterPart) -> Int? { self[part]?.shape.dimensions.first }
    func column(_ part: AdapterPart) -> Int? {
      self[part].flatMap { $0.shape.rank > 1 ? $0.shape[1] : nil }
    }
    func product(_ a: Int?, _ b: Int?) -> Int? {
      guard let a, let b else { return nil }
      let (value, overflow) = a.multipliedReportingOverflow(by: b)
      return overflow ? nil : value
    }
    if self[.up] != nil || self[.down] != nil { return (row(.up), column(.down)) }
    if self[.hada1A] != nil {
      return self[.hadaT1] == nil
        ? (row(.hada1A), column(.hada1B)) : (column(.hada1A), column(.hada1B))
    }
    if self[.kron1] != nil || self[.kron1A] != nil {
      let isTucker = self[.kronT2] != nil
      return (
        product(
          row(.kron1) ?? row(.kron1A), row(.kron2) ?? (isTucker ? column(.kron2A) : row(.kron2A))),
        product(column(.kron1) ?? column(.kron1B), column(.kron2) ?? column(.kron2B))
      )
    }
    if self[.b1] != nil { return (row(.b1), column(.b2)) }
    if self[.difference] != nil { return (row(.difference), column(.difference)) }
    if let blocks = self[.rotation]?.shape.dimensions.suffix(3), blocks.count == 3 {
      return (product(blocks.first, blocks.last), nil)
    }
    return ((self[.shares] ?? self[.norm] ?? magnitude)?.shape.elementCount, nil)
  }
}

/// Learned vectors in a LoRA file with their own trigger word.
public struct BundledEmbedding: Sendable {
  /// The word that stands for the vectors in prompts.
  public let word: String
  /// One per text encoder of the word.
  public let tensors: [Tensor]
}

/// An adapter file parsed by tensor names: layers and their tensors.
struct AdapterContents: Sendable {
  /// In the order of the file.
  private(set) var layers: [AdapterLayer] = []
  private(set) var embeddings: [BundledEmbedding] = []
  /// Tensors that belong to no layer.
  private(set) var others: [Tensor] = []

  static let bundle = "bundle_emb."

  init(_ tensors: [Tensor]) {
    var indices: [String: Int] = [:]
    var bundles: [String: Int] = [:]
    var words: [(word: String, tensors: [Tensor])] = []
    // `weight` belongs to (IA)^3 if the layer also has `on_input`.
    let ending = ".on_input"
    let shared = Set(
      tensors.filter { $0.name.hasSuffix(ending) }.map { $0.name.dropLast(ending.count) })
    for tensor in tensors {
      if tensor.name.hasPrefix(Self.bundle) {
        let word = Self.word(of: tensor.name)
        if bundles[word] == nil {
          bundles[word] = words.count
          words.append((word, []))
        }
        if let index = bundles[word] { words[index].tensors.append(tensor) }
        continue
      }
      var name = AdapterMethod.split(tensor.name)
      if !shared.isEmpty, tensor.name.hasSuffix(".weight") {
        let layer = tensor.name.dropLast(".weight".count)
        if shared.contains(layer) {
          let method = AdapterMethod.all.firstIndex { $0.needs.contains([.shares, .onInput]) }
          name = AdapterMethod.Name(layer: String(layer), part: .shares, method: method)
        }
      }
      guard let name else {
        others.append(tensor)
        continue
      }
      let index = indices[name.layer] ?? layers.count
      if index == layers.count {
        indices[name.layer] = index
        layers.append(AdapterLayer(name.layer))
      }
      layers[index].add(tensor, name.part, name.method)
    }
    embeddings = words.map { BundledEmbedding(word: $0.word, tensors: $0.tensors) }
    // A layer with unrecognized tensors is unrecognized as a whole.
    for tensor in others {
      var module = Substring(tensor.name)
      for _ in 0..<4 {
        guard let end = module.lastIndex(of: ".") else { break }
        module = module[..<end]
        if let index = indices[String(module)] { layers[index].strange.append(tensor.name) }
      }
    }
  }

  /// The word of `bundle_emb.WORD.string_to_param.*`, `….emb_params`, `….clip_l`.
  private static func word(of name: String) -> String {
    let rest = name.dropFirst(bundle.count)
    if let range = rest.firstRange(of: ".string_to_param.") {
      return String(rest[..<range.lowerBound])
    }
    return rest.lastIndex(of: ".").map { String(rest[..<$0]) } ?? String(rest)
  }

  /// The layers with a known method.
  var known: [AdapterLayer] { layers.filter { !$0.methods.isEmpty } }

  /// Whether the tensors are an adapter: at least half of them, and not only by names that other
  /// networks also use.
  var isAdapter: Bool {
    let tensors = layers.reduce(0) { $0 + $1.all.count } + others.count
    let telling = known.filter { layer in
      // `a1.weight` and `diff` are common names.
      layer.weightMethods.first?.name != AdapterMethod.glora.name || layer.isComplete
    }
    let bundled = embeddings.reduce(0) { $0 + $1.tensors.count }
    let members = telling.reduce(0) { $0 + $1.all.count }
    return (!telling.isEmpty && members * 2 >= tensors) || (bundled > 0 && tensors == 0)
  }
}

extension AdapterLayer {
  /// Alternative sets of required parts.
  private var needs: [[AdapterPart]] {
    weightMethods.first?.needs ?? methods.sorted().flatMap { AdapterMethod.all[$0].needs }
  }

  /// Whether it has everything its method needs.
  var isComplete: Bool {
    needs.contains { $0.allSatisfy { tensors[$0] != nil } }
  }

  /// The parts that the layer is missing for its method.
  var missing: [AdapterPart] {
    needs.map { $0.filter { tensors[$0] == nil } }.min { $0.count < $1.count } ?? []
  }

  /// The layer's own alpha, if any.
  ///
  /// - Throws: ``FormatError`` `malformed` if it is not one finite number.
  func alpha() throws(FormatError) -> Float? {
    guard let tensor = tensors[.alpha] else { return nil }
    guard tensor.elementCount == 1, let value = tensor.lone, value.isFinite else {
      throw FormatError(.malformed, "alpha is not one finite number", context: tensor.name)
    }
    return Float(value)
  }
}

extension Tensor {
  /// The first value as a number.
  fileprivate var lone: Double? {
    let bytes = contiguousBytes()
    guard bytes.count >= dtype.bitWidth / 8, !bytes.isEmpty else { return nil }
    return bytes.withUnsafeBytes { bytes in
      switch dtype {
      case .float64: bytes.loadUnaligned(as: Double.self)
      case .float32: Double(bytes.loadUnaligned(as: Float.self))
      case .float16: Double(bytes.loadUnaligned(as: Float16.self))
      case .bfloat16:
        Double(Float(bitPattern: UInt32(bytes.loadUnaligned(as: UInt16.self)) << 16))
      case .int64: Double(bytes.loadUnaligned(as: Int64.self))
      case .int32: Double(bytes.loadUnaligned(as: Int32.self))
      case .int16: Double(bytes.loadUnaligned(as: Int16.self))
      case .int8: Double(bytes.loadUnaligned(as: Int8.self))
      case .uint8: Double(bytes.loadUnaligned(as: UInt8.self))
      default: nil
      }
    }
  }
}
