import OrderedJSON

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
  /// The first values of the object's dictionaries that hold no tensors, by their paths.
  var values: [(name: String, text: String)] = []
  /// Nodes on the way from the root to the one at hand, where a cycle would come back to.
  private var isActive: [Bool]
  /// Nodes whose tensor was taken in.
  private var isTaken: [Bool]
  /// Above 0 where only tensors are taken that were not yet.
  private var onlyNew = 0
  /// The storages that tensors lie in, by key.
  private var usedStorages: Set<ExactName> = []
  /// Tensors that are not read.
  private(set) var unread: [UnreadValues] = []
  private var arrayCount = 0
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
    isTaken = isActive
    budget = 1_000_000 + 16 * pickle.byteCount
    valueBudget = (64 << 20) + 16 * source.byteCount
    try walk(pickle.root, path: nil, depth: 0)
    if arrayCount > TorchObject.arrayLimit {
      warnings.append("\(arrayCount - TorchObject.arrayLimit) more NumPy arrays are not read")
    }
  }

  /// The storages that hold bytes and that no tensor uses.
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
      // A tensor's attributes, which hang below it.
      for state in rest { try walk(state: state, path: path, isTensor: true, depth: depth) }
      return
    }
    switch node.kind {
    case .call(let callable, let arguments), .instance(let callable, let arguments):
      // What is called may be an object itself, as of `functools.partial`.
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
      // What holds none of them is a value itself.
      if depth <= 1, tensors.count + unread.count + values.count == known,
        values.count < TorchObject.valueLimit, key.utf8.count <= 64
      {
        values.append((try join(path, key), pickle.shortText(of: value)))
      }
    }
    // A key may be a tensor, or a tuple of some.
    for position in stride(from: 0, to: pairs.count, by: 2) {
      guard case .node = pairs[position] else { continue }
      try walk(pairs[position], path: try join(path, "key \(position / 2)"), depth: depth + 1)
    }
  }

  /// Walks what a class or function was called with: what a container is made of, or values that are
  /// named by their place.
  private mutating func walk(
    arguments: PickleValue, of callable: PickleValue, path: String?, depth: Int
  ) throws(FormatError) {
    guard let items = pickle.tuple(arguments) else { return }
    try spend(items.count)
    if let global = pickle.global(callable), ["copyreg", "copy_reg"].contains(global.module),
      global.name == "_reconstructor", items.count == 3
    {
      // A subclass of a container before protocol 2: class, base, what the base is made of.
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

  /// The keys and values that a list of pairs holds, which is how Python 2 pickles a dictionary that
  /// keeps its order; nil where it is none.
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

  /// Walks what BUILD gave an object: its attributes, or a pair of dictionaries of them, or whatever
  /// its class makes of it.
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
      // What else a module has: tensors that are no buffers, and lists of its parameters once more.
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

  /// The parameters, buffers and modules of a module's attributes; nil where they are of another
  /// object.
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

  /// Whether the tensor of a node was taken in and is not to be taken again; notes that it is.
  mutating func isDone(_ index: Int) -> Bool {
    defer { isTaken[index] = true }
    return onlyNew > 0 && isTaken[index]
  }

  /// Notes a tensor that is not read.
  mutating func skip(_ name: String, _ reason: String) {
    warnings.append("\(name): \(reason)")
    unread.append(UnreadValues(.tensor, name, byteCount: 0, reason: reason))
  }

  /// Notes the storages of a tensor that is not read: they belong to it, whatever their type.
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

  /// Notes an array of NumPy, which is no tensor.
  mutating func noteArray(_ name: String) {
    arrayCount += 1
    guard arrayCount <= TorchObject.arrayLimit else { return }
    warnings.append("\(name): a NumPy array, not a tensor; it is not read")
  }

  /// How many arrays are told one by one.
  private static var arrayLimit: Int { 8 }

  /// Takes a tensor in that lies in the storage of that key.
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
        "the tensors repeat their storages until they hold more than 16 times the file's "
          + "\(source.byteCount.of("byte"))", hint: "the file appears crafted to exhaust memory")
    }
    tensors.append(tensor)
  }

  mutating func spend(_ cost: Int) throws(FormatError) {
    budget -= cost
    guard budget >= 0 else {
      throw FormatError(
        .malformed, "the object expands to far more than the pickle contains",
        hint: "the file appears crafted to exhaust memory")
    }
  }
}
