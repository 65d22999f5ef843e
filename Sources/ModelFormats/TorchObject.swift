/// The object that a PyTorch pickle holds, walked for its tensors.
///
/// A tensor is named by its path: dictionary keys, list indices and attribute names joined with
/// a full stop; a lone tensor has the empty name. Modules are named as their `state_dict` names
/// them.
///
/// Source: `torch/_utils.py` for what the rebuilding functions take.
struct TorchObject<Source: TorchStorageSource> {
  private let pickle: Pickle
  private var source: Source
  private(set) var tensors: [Tensor] = []
  private(set) var warnings: [String] = []
  /// Nodes on the way from the root to the one at hand, where a cycle would come back to.
  private var isActive: [Bool]
  /// What the walk may still cost. Shared nodes are met once on every path to them, which can be
  /// exponentially many; an honest object costs little more than its bytes.
  private var budget: Int

  private static var depthLimit: Int { 200 }
  private static var rankLimit: Int { 64 }
  private static var tensorCost: Int { 64 }

  init(_ pickle: Pickle, source: Source) throws(FormatError) {
    self.pickle = pickle
    self.source = source
    isActive = [Bool](repeating: false, count: pickle.nodes.count)
    budget = 1_000_000 + 16 * pickle.byteCount
    try walk(pickle.root, path: nil, depth: 0)
    warnings = pickle.globalWarnings + warnings
  }

  private mutating func walk(
    _ value: PickleValue, path: String?, depth: Int
  ) throws(FormatError) {
    try spend(1)
    guard case .node(let index) = value, !isActive[index] else { return }
    let node = pickle.nodes[index]
    switch node.kind {
    case .bigInteger, .complex, .global, .persistent: return
    case .call(let callable, let arguments):
      if try takeTensor(callable, arguments, node: node, name: path ?? "") { return }
    case .tuple, .list, .dictionary, .set, .instance: break
    }
    guard depth < TorchObject.depthLimit else {
      throw FormatError(
        .unsupported, "objects are nested more than \(TorchObject.depthLimit) deep",
        offset: node.offset, context: path)
    }
    isActive[index] = true
    defer { isActive[index] = false }
    for (position, item) in node.items.enumerated() {
      guard case .node = item else {
        try spend(1)
        continue
      }
      try walk(item, path: try join(path, String(position)), depth: depth + 1)
    }
    try walk(pairs: node.pairs, path: path, depth: depth)
    for state in node.states { try walk(state: state, path: path, of: node, depth: depth) }
  }

  private mutating func walk(
    pairs: [PickleValue], path: String?, depth: Int
  ) throws(FormatError) {
    try spend(pairs.count)
    for (key, value) in pickle.members(of: pairs) {
      guard case .node = value else { continue }
      try walk(value, path: try join(path, key), depth: depth + 1)
    }
  }

  /// Walks what BUILD gave an object: its attributes, or a pair of dictionaries of them. What a
  /// dictionary was given so is no part of its contents (`OrderedDict._metadata`).
  private mutating func walk(
    state: PickleValue, path: String?, of node: PickleNode, depth: Int
  ) throws(FormatError) {
    switch node.kind {
    case .call, .instance: break
    default: return
    }
    let parts = pickle.tuple(state) ?? [state]
    try spend(parts.count)
    for part in parts {
      guard let dictionary = pickle.node(part), case .dictionary = dictionary.kind else { continue }
      try spend(dictionary.pairs.count)
      let attributes = pickle.members(of: dictionary.pairs)
      let modules = attributes.filter {
        ["_parameters", "_buffers", "_modules"].contains($0.name)
      }
      if modules.count == 3 {
        for (_, value) in modules { try walk(value, path: path, depth: depth + 1) }
      } else {
        try walk(part, path: path, depth: depth + 1)
      }
    }
  }

  private mutating func join(_ path: String?, _ component: String) throws(FormatError) -> String {
    let name = path.map { "\($0).\(component)" } ?? component
    try spend(name.utf8.count)
    return name
  }

  private mutating func spend(_ cost: Int) throws(FormatError) {
    budget -= cost
    guard budget >= 0 else {
      throw FormatError(
        .malformed, "the object unfolds into far more than the pickle holds",
        hint: "the file was made to exhaust its reader")
    }
  }
}

extension TorchObject {
  /// Takes the tensor that a call rebuilds, or notes why it is not read; false where the call
  /// rebuilds no tensor.
  private mutating func takeTensor(
    _ callable: PickleValue, _ arguments: PickleValue, node: PickleNode, name: String
  ) throws(FormatError) -> Bool {
    let result: Rebuilt?
    do throws(FormatError) {
      result = try rebuild(callable, arguments, depth: 0)
      guard let result else { return false }
      try spend(TorchObject.tensorCost)
      switch result {
      case .skipped(let reason): warnings.append("\(name): \(reason)")
      case .tensor(let tensor):
        if tensor.storage.location == "meta" {
          warnings.append("\(name): it was saved without values (device meta), and is left out")
          return true
        }
        let bytes = try source.storage(tensor.storage, swapWidth: tensor.dtype.swapWidth)
        tensors.append(try tensor.tensor(named: name, in: bytes))
      }
      return true
    } catch {
      var error = error
      error.context = error.context ?? name
      error.offset = error.offset ?? node.offset
      throw error
    }
  }

  private enum Rebuilt {
    case tensor(TorchTensor)
    case skipped(String)
  }

  private func rebuild(
    _ callable: PickleValue, _ arguments: PickleValue, depth: Int
  ) throws(FormatError) -> Rebuilt? {
    guard let global = pickle.global(callable), let arguments = pickle.tuple(arguments),
      depth < 8
    else { return nil }
    func malformed(_ message: String) -> FormatError {
      FormatError(.malformed, "\(global.name): \(message)")
    }
    func argument(_ index: Int) throws(FormatError) -> PickleValue {
      guard index < arguments.count else { throw malformed("an argument is missing") }
      return arguments[index]
    }
    switch global.spoken {
    case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
      guard let storage = try storageReference(try argument(0)) else {
        return .skipped("its type \(try storageType(try argument(0))) is not read; it is left out")
      }
      guard let dtype = storage.dtype else { throw malformed("its storage has no type") }
      return try view(of: storage, dtype: dtype, arguments, metadata: 6, global)
    case "torch._utils._rebuild_tensor_v3":
      guard let storage = try storageReference(try argument(0)) else {
        return .skipped("its type \(try storageType(try argument(0))) is not read; it is left out")
      }
      guard let type = pickle.global(try argument(6)), type.module == "torch" else {
        throw malformed("its type is not named")
      }
      guard let dtype = DType(torchName: type.name) else {
        return .skipped("its type \(type.spoken) is not read; it is left out")
      }
      return try view(of: storage, dtype: dtype, arguments, metadata: 7, global)
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state":
      guard let node = pickle.node(try argument(0)),
        case .call(let callable, let inner) = node.kind,
        let result = try rebuild(callable, inner, depth: depth + 1)
      else { throw malformed("its argument is no tensor") }
      return result
    case "torch._tensor._rebuild_from_type_v2", "torch.tensor._rebuild_from_type_v2",
      "torch._tensor._rebuild_from_type", "torch.tensor._rebuild_from_type":
      return try rebuild(try argument(0), try argument(2), depth: depth + 1)
    case let name where name.hasPrefix("torch._utils._rebuild_"):
      return .skipped("it is rebuilt by \(global.name), which is not read; it is left out")
    default:
      return nil
    }
  }

  private func view(
    of storage: TorchStorageReference, dtype: DType, _ arguments: [PickleValue], metadata: Int,
    _ global: Pickle.Global
  ) throws(FormatError) -> Rebuilt {
    guard arguments.count >= 4, case .integer(let offset) = arguments[1],
      let sizes = integers(arguments[2]), let strides = integers(arguments[3])
    else {
      throw FormatError(
        .malformed,
        "\(global.name): its offset, size or stride is no number, or it has more than "
          + "\(TorchObject.rankLimit) dimensions")
    }
    if arguments.count > metadata, let node = pickle.node(arguments[metadata]) {
      // Views that conjugate or negate on reading carry a flag here.
      for (key, value) in pickle.members(of: node.pairs) {
        if case .bool(true) = value, key == "conj" || key == "neg" {
          return .skipped("it is a view with the \(key) flag, which is not read; it is left out")
        }
      }
    }
    return .tensor(
      TorchTensor(storage: storage, dtype: dtype, offset: offset, sizes: sizes, strides: strides))
  }

  /// The integers of a tuple, list or `torch.Size`.
  private func integers(_ value: PickleValue) -> [Int]? {
    guard let node = pickle.node(value) else { return nil }
    let items: [PickleValue]
    switch node.kind {
    case .tuple, .list: items = node.items
    case .call(let callable, let arguments):
      guard pickle.global(callable)?.spoken == "torch.Size",
        let inner = pickle.tuple(arguments)?.first.flatMap(pickle.node)
      else { return nil }
      items = inner.items
    default: return nil
    }
    guard items.count <= TorchObject.rankLimit else { return nil }
    var integers: [Int] = []
    for item in items {
      guard case .integer(let integer) = item else { return nil }
      integers.append(integer)
    }
    return integers
  }

  private func storageReference(
    _ value: PickleValue
  ) throws(FormatError) -> TorchStorageReference? {
    try pickle.storageReference(value)
  }

  private func storageType(_ value: PickleValue) throws(FormatError) -> String {
    guard let node = pickle.node(value), case .persistent(let identifier) = node.kind,
      let parts = pickle.tuple(identifier), parts.count > 1, let type = pickle.global(parts[1])
    else { return "of its storage" }
    return type.spoken
  }
}

extension Pickle {
  /// The storage that a persistent identifier names; nil where its type is not read.
  ///
  /// The identifier is `('storage', class, key, location, elements)`; before version 1.6 a sixth
  /// part is None or `(key, offset, elements)` of a view.
  func storageReference(
    _ value: PickleValue
  ) throws(FormatError) -> TorchStorageReference? {
    guard let node = node(value), case .persistent(let identifier) = node.kind,
      let parts = tuple(identifier), (5...6).contains(parts.count),
      text(parts[0]) == "storage", let type = global(parts[1]), let key = text(parts[2]),
      let location = text(parts[3]), case .integer(let count) = parts[4]
    else {
      throw FormatError(.malformed, "what should be a storage is none")
    }
    let isUntyped = type.name == "UntypedStorage"
    let dtype = DType(torchStorage: type.name)
    guard type.module.split(separator: ".").first == "torch", isUntyped || dtype != nil else {
      return nil
    }
    let width = (dtype ?? .uint8).bitWidth / 8
    guard let byteCount = product(count, width) else {
      throw FormatError(.malformed, "the storage \(key) has \(count) elements")
    }
    var view: Range<Int>?
    if parts.count == 6, let members = tuple(parts[5]) {
      guard members.count == 3, case .integer(let start) = members[1],
        case .integer(let length) = members[2], let lower = product(start, width),
        let size = product(length, width),
        case (let upper, false) = lower.addingReportingOverflow(size)
      else {
        throw FormatError(.malformed, "the view of storage \(key) is not described")
      }
      view = lower..<upper
    }
    return TorchStorageReference(
      key: key, dtype: dtype, byteCount: byteCount, location: location, view: view)
  }

  /// The product of two sizes; nil where one is negative or it leaves `Int`.
  private func product(_ left: Int, _ right: Int) -> Int? {
    let (result, overflow) = left.multipliedReportingOverflow(by: right)
    return overflow || left < 0 || right < 0 ? nil : result
  }

  private func text(_ value: PickleValue) -> String? {
    if case .string(let text) = value { text } else { nil }
  }

  /// The members of a dictionary under the names that its keys give; of equal keys, the last
  /// value at the first's place, as Python keeps them.
  func members(of pairs: [PickleValue]) -> [(name: String, value: PickleValue)] {
    var members: [(name: String, value: PickleValue)] = []
    var index: [String: Int] = [:]
    for position in stride(from: 0, to: pairs.count - 1, by: 2) {
      let (key, value) = (pairs[position], pairs[position + 1])
      let name = spelling(of: key)
      // Keys of different types are different keys, though they may be spelled alike.
      let tag =
        switch key {
        case .string: "s"
        case .bytes: "b"
        case .node(let index): "n\(index)"
        default: "v"
        }
      if let known = index.updateValue(members.count, forKey: tag + name) {
        index[tag + name] = known
        members[known].value = value
      } else {
        members.append((name, value))
      }
    }
    return members
  }

  private func spelling(of key: PickleValue) -> String {
    switch key {
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .integer(let value): String(value)
    case .real(let value): "\(value)"
    case .string(let value): value
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    case .node(let index):
      switch nodes[index].kind {
      case .tuple:
        "("
          + nodes[index].items.prefix(16).map {
            if case .node = $0 { "…" } else { spelling(of: $0) }
          }.joined(separator: ", ") + ")"
      case .global(let module, let name): "\(module).\(name)"
      default: "object"
      }
    }
  }
}
