extension TorchObject {
  /// Takes the tensor that a node stands for or rebuilds, or notes why it is not read; false where
  /// the node is no tensor.
  mutating func takeTensor(_ node: PickleNode, name: String) throws(FormatError) -> Bool {
    do throws(FormatError) {
      guard let result = try rebuild(node, depth: 0) else { return false }
      try spend(TorchObject.tensorCost)
      switch result {
      case .skipped(let reason): warnings.append("\(name): \(reason)")
      case .tensor(let tensor):
        if tensor.storage.location == "meta" {
          warnings.append("\(name): it was saved without values (device meta), and is left out")
          return true
        }
        let bytes = try source.storage(tensor.storage, swapWidth: tensor.dtype.swapWidth)
        try add(try tensor.tensor(named: name, in: bytes))
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

  private func rebuild(_ node: PickleNode, depth: Int) throws(FormatError) -> Rebuilt? {
    switch node.kind {
    case .persistent(let identifier): return try source.tensor(identifier).map { .tensor($0) }
    case .call(let callable, let arguments):
      return try rebuild(callable, arguments, depth: depth)
    case .instance(let type, let arguments):
      // As parameters were pickled before `_rebuild_parameter`.
      let wrappers = [
        "torch.nn.parameter.Parameter", "torch.autograd.variable.Variable",
        "torch.autograd.Variable",
      ]
      guard let type = pickle.global(type), wrappers.contains(type.spoken), depth < 8,
        let inner = pickle.tuple(arguments)?.first.flatMap(pickle.node)
      else { return nil }
      return try rebuild(inner, depth: depth + 1)
    default: return nil
    }
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
      guard let storage = try pickle.storageReference(try argument(0)) else {
        return .skipped("its type \(try storageType(try argument(0))) is not read; it is left out")
      }
      guard let dtype = storage.dtype else { throw malformed("its storage has no type") }
      return try view(of: storage, dtype: dtype, arguments, metadata: 6, global)
    case "torch._utils._rebuild_tensor_v3":
      guard let storage = try pickle.storageReference(try argument(0)) else {
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
        let result = try rebuild(node, depth: depth + 1)
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

  private func storageType(_ value: PickleValue) throws(FormatError) -> String {
    guard let node = pickle.node(value), case .persistent(let identifier) = node.kind,
      let parts = pickle.tuple(identifier), parts.count > 1, let type = pickle.global(parts[1])
    else { return "of its storage" }
    return type.spoken
  }
}
