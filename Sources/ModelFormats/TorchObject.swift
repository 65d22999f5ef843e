/// The object that a PyTorch pickle holds, walked for its tensors.
///
/// A tensor is named by its path: dictionary keys, list indices and attribute names joined with
/// a full stop; a lone tensor has the empty name. Modules are named as their `state_dict` names
/// them.
///
/// Source: `torch/_utils.py` for what the rebuilding functions take.
struct TorchObject<Source: TorchStorageSource> {
  let pickle: Pickle
  var source: Source
  var tensors: [Tensor] = []
  var warnings: [String] = []
  /// The first plain values of the object's dictionaries, by their paths.
  var values: [(name: String, text: String)] = []
  /// Nodes on the way from the root to the one at hand, where a cycle would come back to.
  private var isActive: [Bool]
  /// What the walk may still cost. Shared nodes are met once on every path to them, which can be
  /// exponentially many; an honest object costs little more than its bytes.
  private var budget: Int
  /// What all tensors together may still hold: a pickle can have a hundred thousand tensors repeat
  /// one storage, which whoever reads or converts them would pay for.
  private var valueBudget: Int

  private static var depthLimit: Int { 200 }
  static var rankLimit: Int { 64 }
  static var tensorLimit: Int { 65536 }
  static var tensorCost: Int { 512 }
  private static var valueLimit: Int { 32 }

  init(_ pickle: Pickle, source: Source) throws(FormatError) {
    self.pickle = pickle
    self.source = source
    isActive = [Bool](repeating: false, count: pickle.nodes.count)
    budget = 1_000_000 + 16 * pickle.byteCount
    valueBudget = (64 << 20) + 16 * source.byteCount
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
    case .bigInteger, .complex, .global: return
    case .persistent:
      _ = try takeTensor(node, name: path ?? "")
      return
    case .call, .instance:
      if try takeTensor(node, name: path ?? "") { return }
    case .tuple, .list, .dictionary, .set: break
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
      guard case .node = value else {
        if depth <= 1, values.count < TorchObject.valueLimit, key.utf8.count <= 64 {
          values.append((try join(path, key), pickle.shortText(of: value)))
        }
        continue
      }
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

  /// Takes a tensor in.
  mutating func add(_ tensor: Tensor) throws(FormatError) {
    guard tensors.count < TorchObject.tensorLimit else {
      throw FormatError(
        .unsupported, "the file holds more than \(TorchObject.tensorLimit) tensors")
    }
    valueBudget -= tensor.byteCount
    guard valueBudget >= 0 else {
      throw FormatError(
        .malformed,
        "the tensors repeat their storages until they hold more than 16 times the file's "
          + "\(source.byteCount) bytes", hint: "the file was made to exhaust its reader")
    }
    tensors.append(tensor)
  }

  mutating func spend(_ cost: Int) throws(FormatError) {
    budget -= cost
    guard budget >= 0 else {
      throw FormatError(
        .malformed, "the object unfolds into far more than the pickle holds",
        hint: "the file was made to exhaust its reader")
    }
  }
}
