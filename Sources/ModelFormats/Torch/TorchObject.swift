import OrderedJSON

/// The object of a PyTorch pickle, searched for tensors.
///
/// A tensor's name is its path: dictionary keys, list indices and attribute names joined with dots;
/// a single tensor has the empty name. Modules have the names of their `state_dict`.
///
/// Source: `torch/_utils.py` for the arguments of the rebuild functions.
struct TorchObject<Source: TorchStorageSource> {
  let pickle: Pickle
  var source: Source
  var tensors: [Tensor] = []
  var warnings: [String] = []
  /// The first values other than tensors in the object's dictionaries, by path.
  var values: [(name: String, text: String)] = []
  /// Nodes on the path from the root to the current node, to detect cycles.
  private var isActive: [Bool]
  /// Nodes whose tensor was added.
  private var isTaken: [Bool]
  /// Above 0 while only new tensors are added.
  private var onlyNew = 0
  /// The storages used by tensors, by key.
  private var usedStorages: Set<ExactName> = []
  /// Unsupported tensors.
  private(set) var unread: [UnreadValues] = []
  private var arrayCount = 0
  /// The remaining cost of the walk. Shared nodes are visited once per path, which can be
  /// exponentially often; an ordinary object costs little more than its bytes.
  private var budget: Int
  /// The remaining size of all tensors: a pickle can have a hundred thousand tensors that repeat
  /// one storage, at the expense of whoever reads or converts them.
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
    isTaken = isActive
    budget = 1_000_000 + 16 * pickle.byteCount
    valueBudget = (64 << 20) + 16 * source.byteCount
    try walk(pickle.root, path: nil, depth: 0)
    if arrayCount > TorchObject.arrayLimit {
      warnings.append("\(arrayCount - TorchObject.arrayLimit) more NumPy arrays are not supported")
    }
  }

  /// Nonempty storages that no tensor uses.
  var unusedStorages: [UnreadValues] {
    source.storages.filter { !usedStorages.contains(ExactName($0.key)) }.map {
      UnreadValues(.storage, $0.name, byteCount: $0.byteCount, reason: UnreadValues.unused)
    }
  }

  private mutating func walk(
    _ value: PickleValue, path: String?, depth: Int
  ) throws(FormatError) {
    try spend(1)
    guard case .node(let index) = value, !isActive[index] else { return }
    let node = pickle.nodes[index]
    var rest: [PickleValue]?
    switch node.kind {
    case .bigInteger, .complex, .global: return
    case .persistent, .call, .instance: rest = try takeTensor(index, name: path ?? "")
    case .tuple, .list, .dictionary, .set: break
    }
    if let rest, rest.isEmpty { return }
    guard depth < TorchObject.depthLimit else {
      throw FormatError(
        .unsupported, "objects are nested more than \(TorchObject.depthLimit) deep",
        offset: node.offset, context: path)
    }
    isActive[index] = true
    defer { isActive[index] = false }
    if let rest {
      // A tensor's attributes, below it.
      for state in rest { try walk(state: state, path: path, isTensor: true, depth: depth) }
      return
    }
    switch node.kind {
    case .call(let callable, let arguments), .instance(let callable, let arguments):
      // The callable may itself be an object, such as a `functools.partial`.
      if pickle.global(callable) == nil { try walk(callable, path: path, depth: depth + 1) }
      try walk(arguments: arguments, of: callable, path: path, depth: depth)
    default: break
    }
    for (position, item) in node.items.enumerated() {
      guard case .node = item else {
        try spend(1)
        continue
      }
      try walk(item, path: try join(path, String(position)), depth: depth + 1)
    }
    try walk(pairs: node.pairs, path: path, depth: depth)
    for state in node.states { try walk(state: state, path: path, isTensor: false, depth: depth) }
  }

  private mutating func walk(
    pairs: [PickleValue], path: String?, depth: Int
  ) throws(FormatError) {
    try spend(pairs.count)
    for (key, value) in pickle.members(of: pairs) {
      let known = tensors.count + unread.count + values.count
      if case .node = value {
        try walk(value, path: try join(path, key), depth: depth + 1)
      }
      // An object without tensors is a plain value.
      if depth <= 1, tensors.count + unread.count + values.count == known,
        values.count < TorchObject.valueLimit, key.utf8.count <= 64
      {
        values.append((try join(path, key), pickle.shortText(of: value)))
      }
    }
    // A key may be a tensor or a tuple with tensors.
    for position in stride(from: 0, to: pairs.count, by: 2) {
      guard case .node = pairs[position] else { continue }
      try walk(pairs[position], path: try join(path, "key \(position / 2)"), depth: depth + 1)
    }
  }

  /// Walks the arguments of a class or function: the contents of a container, or values named by
  /// position.
  private mutating func walk(
    arguments: PickleValue, of callable: PickleValue, path: String?, depth: Int
  ) throws(FormatError) {
    guard let items = pickle.tuple(arguments) else { return }
    try spend(items.count)
    if let global = pickle.global(callable), ["copyreg", "copy_reg"].contains(global.module),
      global.name == "_reconstructor", items.count == 3
    {
      // A container subclass before protocol 2: class, base, contents of the base.
      return try walk(items[2], path: path, depth: depth + 1)
    }
    if items.count == 1, let pairs = pairs(of: items[0]) {
      return try walk(pairs: pairs, path: path, depth: depth)
    }
    for (position, item) in items.enumerated() {
      guard let node = pickle.node(item) else { continue }
      if case .dictionary = node.kind, modules(of: node) != nil {
        try walk(state: item, path: path, isTensor: false, depth: depth)
      } else {
        try walk(item, path: try join(path, String(position)), depth: depth + 1)
      }
    }
  }

  /// The keys and values in a list of pairs, which is how Python 2 pickles an ordered dictionary;
  /// nil for other lists.
  private func pairs(of value: PickleValue) -> [PickleValue]? {
    guard let list = pickle.node(value), case .list = list.kind, !list.items.isEmpty else {
      return nil
    }
    var pairs: [PickleValue] = []
    for item in list.items {
      guard let pair = pickle.node(item), pair.items.count == 2, case .string = pair.items[0]
      else { return nil }
      switch pair.kind {
      case .list, .tuple: pairs += pair.items
      default: return nil
      }
    }
    return pairs
  }

  /// Walks an object's BUILD state: its attributes, a pair of attribute dictionaries, or whatever
  /// its class expects.
  private mutating func walk(
    state: PickleValue, path: String?, isTensor: Bool, depth: Int
  ) throws(FormatError) {
    let parts = pickle.tuple(state)
    try spend(parts?.count ?? 1)
    for (position, part) in (parts ?? [state]).enumerated() {
      guard let node = pickle.node(part) else { continue }
      guard case .dictionary = node.kind else {
        var place = path
        if parts != nil || isTensor {
          place = try join(path, parts == nil ? "state" : String(position))
        }
        try walk(part, path: place, depth: depth + 1)
        continue
      }
      guard let modules = modules(of: node) else {
        try walk(part, path: path, depth: depth + 1)
        continue
      }
      try spend(node.pairs.count)
      for value in modules { try walk(value, path: path, depth: depth + 1) }
      // Other contents of a module: tensors that are not buffers, and lists that repeat its
      // parameters.
      onlyNew += 1
      defer { onlyNew -= 1 }
      for (name, value) in pickle.members(of: node.pairs)
      where !TorchObject.moduleFields.contains(name) {
        guard case .node = value else { continue }
        try walk(value, path: try join(path, name), depth: depth + 1)
      }
    }
  }

  private static var moduleFields: [String] { ["_parameters", "_buffers", "_modules"] }

  /// The parameters, buffers and modules among a module's attributes; nil for other objects.
  private func modules(of attributes: PickleNode) -> [PickleValue]? {
    guard attributes.pairs.count >= 6 else { return nil }
    let modules = pickle.members(of: attributes.pairs).filter {
      TorchObject.moduleFields.contains($0.name)
    }
    return modules.count == 3 ? modules.map(\.value) : nil
  }

  private mutating func join(_ path: String?, _ component: String) throws(FormatError) -> String {
    let name = path.map { "\($0).\(component)" } ?? component
    try spend(name.utf8.count)
    return name
  }

  /// Whether a node's tensor was added already and is not to be added again; marks it as added.
  mutating func isDone(_ index: Int) -> Bool {
    defer { isTaken[index] = true }
    return onlyNew > 0 && isTaken[index]
  }

  /// Records an unsupported tensor.
  mutating func skip(_ name: String, _ reason: String) {
    warnings.append("\(name): \(reason)")
    unread.append(UnreadValues(.tensor, name, byteCount: 0, reason: reason))
  }

  /// Marks the storages of an unsupported tensor as used, whatever their type.
  mutating func noteStorages(of value: PickleValue, depth: Int) {
    guard depth < 6, let node = pickle.node(value) else { return }
    switch node.kind {
    case .persistent(let identifier):
      guard let parts = pickle.tuple(identifier), parts.count > 2, let key = pickle.text(parts[2])
      else { return }
      usedStorages.insert(ExactName(key))
    case .call(_, let arguments), .instance(_, let arguments):
      for argument in (pickle.tuple(arguments) ?? []).prefix(16) {
        noteStorages(of: argument, depth: depth + 1)
      }
    default:
      for item in node.items.prefix(16) { noteStorages(of: item, depth: depth + 1) }
    }
  }

  /// Records a NumPy array, which is not a tensor.
  mutating func noteArray(_ name: String) {
    arrayCount += 1
    guard arrayCount <= TorchObject.arrayLimit else { return }
    warnings.append("\(name): a NumPy array, not a tensor; skipped")
  }

  /// The maximum number of arrays named individually.
  private static var arrayLimit: Int { 8 }

  /// Adds a tensor in the storage with this key.
  mutating func add(_ tensor: Tensor, storage: String) throws(FormatError) {
    usedStorages.insert(ExactName(storage))
    guard tensors.count < TorchObject.tensorLimit else {
      throw FormatError(
        .unsupported, "the file contains more than \(TorchObject.tensorLimit) tensors")
    }
    valueBudget -= tensor.byteCount
    guard valueBudget >= 0 else {
      throw FormatError(
        .malformed,
        "the tensors repeat their storages to more than 16 times the file's "
          + "\(source.byteCount.of("byte"))", hint: "the file appears crafted to exhaust memory")
    }
    tensors.append(tensor)
  }

  mutating func spend(_ cost: Int) throws(FormatError) {
    budget -= cost
    guard budget >= 0 else {
      throw FormatError(
        .malformed, "the object expands far beyond the size of the pickle",
        hint: "the file appears crafted to exhaust memory")
    }
  }
}
