extension TorchObject {
  /// Adds the tensor that a node is or rebuilds, or records why it is not read.
  ///
  /// - Returns: values below the tensor that may contain more tensors; nil if the node is not a
  ///   tensor.
  mutating func takeTensor(_ index: Int, name: String) throws(FormatError) -> [PickleValue]? {
    let node = pickle.nodes[index]
    do throws(FormatError) {
      guard let result = try rebuild(node, depth: 0) else {
        if isArray(node) { noteArray(name) }
        return nil
      }
      guard !isDone(index) else { return [] }
      try spend(TorchObject.tensorCost)
      switch result.outcome {
      case .skipped(let reason):
        skip(name, reason)
        noteStorages(of: .node(index), depth: 0)
      case .wrapper(let type):
        warnings.append("\(name): a tensor of class \(type); its parts are listed as tensors")
      case .tensor(let tensor):
        if tensor.storage.location == "meta" {
          warnings.append("\(name): saved without values (device meta); tensor skipped")
          return result.rest
        }
        let bytes = try source.storage(tensor.storage, swapWidth: tensor.dtype.swapWidth)
        try add(try tensor.tensor(named: name, in: bytes), storage: tensor.storage.key)
      }
      return result.rest
    } catch {
      var error = error
      error.context = error.context ?? name
      error.offset = error.offset ?? node.offset
      throw error
    }
  }

  /// Whether a node rebuilds an array of NumPy.
  private func isArray(_ node: PickleNode) -> Bool {
    guard case .call(let callable, _) = node.kind, let global = pickle.global(callable) else {
      return false
    }
    return [
      "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct",
      "numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer",
    ].contains(global.spoken)
  }

  /// A tensor as described by its node, and the values below it.
  private struct Rebuilt {
    enum Outcome {
      case tensor(TorchTensor)
      case skipped(String)
      /// A class whose values are in other tensors, its attributes.
      case wrapper(type: String)
    }

    let outcome: Outcome
    var rest: [PickleValue] = []

    static func skipped(_ reason: String) -> Rebuilt { Rebuilt(outcome: .skipped(reason)) }
    static func tensor(_ tensor: TorchTensor) -> Rebuilt { Rebuilt(outcome: .tensor(tensor)) }

    func with(_ more: some Sequence<PickleValue>) -> Rebuilt {
      Rebuilt(outcome: outcome, rest: rest + more)
    }
  }

  private func rebuild(_ node: PickleNode, depth: Int) throws(FormatError) -> Rebuilt? {
    switch node.kind {
    case .persistent(let identifier):
      return try source.tensor(identifier).map { Rebuilt.tensor($0).with(node.states) }
    case .call(let callable, let arguments), .instance(let callable, let arguments):
      if let result = try legacy(callable, arguments, states: node.states, depth: depth) {
        return result
      }
      return try rebuild(callable, arguments, depth: depth)?.with(node.states)
    default: return nil
    }
  }

  /// Tensors of PyTorch before 0.2: an empty object of the type, with a BUILD state
  /// `(storage, offset, sizes, strides)`, or for a variable `(tensor, …)` of five.
  ///
  /// Source: `__setstate__` in PyTorch's `torch/_tensor.py`.
  private func legacy(
    _ callable: PickleValue, _ arguments: PickleValue, states: [PickleValue], depth: Int
  ) throws(FormatError) -> Rebuilt? {
    guard let global = pickle.global(callable),
      global.module.split(separator: ".").first == "torch",
      pickle.tuple(arguments)?.isEmpty == true, let state = states.last.flatMap(pickle.tuple)
    else { return nil }
    if global.name.hasSuffix("Tensor"), state.count == 4, let node = pickle.node(state[0]),
      case .persistent = node.kind
    {
      guard let storage = try pickle.storageReference(state[0]) else {
        return .skipped("unsupported type \(storageType(state[0])); tensor skipped")
      }
      guard let dtype = storage.dtype else {
        throw FormatError(.malformed, "\(global.name): its storage has no type")
      }
      return try view(of: storage, dtype: dtype, state, metadata: 4, global)
    }
    guard isWrapper(global), state.count == 5, depth < 8, let inner = pickle.node(state[0]) else {
      return nil
    }
    return try rebuild(inner, depth: depth + 1)
  }

  /// Whether a class name means a tensor if its first argument is one: `Parameter` and `Variable`,
  /// which were pickled like this before `_rebuild_parameter`, and subclasses of them.
  private func isWrapper(_ global: Pickle.Global) -> Bool {
    let name = global.name.split(separator: ".").last ?? ""
    return ["Parameter", "Variable", "Buffer", "Tensor"].contains { name.hasSuffix($0) }
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
        return .skipped("unsupported type \(storageType(try argument(0))); tensor skipped")
      }
      guard let dtype = storage.dtype else { throw malformed("its storage has no type") }
      return try view(of: storage, dtype: dtype, arguments, metadata: 6, global)
    case "torch._utils._rebuild_tensor_v3":
      guard let storage = try pickle.storageReference(try argument(0)) else {
        return .skipped("unsupported type \(storageType(try argument(0))); tensor skipped")
      }
      guard let type = pickle.global(try argument(6)), type.module == "torch" else {
        throw malformed("its type is missing")
      }
      guard let dtype = DType(torchName: type.name) else {
        return .skipped("unsupported type \(type.spoken); tensor skipped")
      }
      return try view(of: storage, dtype: dtype, arguments, metadata: 7, global)
    case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
      "torch._utils._rebuild_device_tensor_from_cpu_tensor":
      guard let node = pickle.node(try argument(0)),
        let result = try rebuild(node, depth: depth + 1)
      else { throw malformed("its argument is not a tensor") }
      return global.name.hasSuffix("_state") ? result.with(arguments.dropFirst(3)) : result
    case "torch._utils._rebuild_wrapper_subclass":
      let type = pickle.global(try argument(0))?.spoken ?? global.name
      return Rebuilt(outcome: .wrapper(type: type))
    case "torch._tensor._rebuild_from_type_v2", "torch.tensor._rebuild_from_type_v2",
      "torch._tensor._rebuild_from_type", "torch.tensor._rebuild_from_type":
      return try rebuild(try argument(0), try argument(2), depth: depth + 1)?
        .with(arguments.dropFirst(3))
    case let name where name.hasPrefix("torch._utils._rebuild_"):
      return .skipped("unsupported constructor \(global.name); tensor skipped")
    default:
      guard isWrapper(global), let inner = arguments.first.flatMap(pickle.node) else { return nil }
      return try rebuild(inner, depth: depth + 1)?.with(arguments.dropFirst())
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
        "\(global.name): its offset, size or stride is not a number, or it has more than "
          + "\(TorchObject.rankLimit) dimensions")
    }
    if arguments.count > metadata, let node = pickle.node(arguments[metadata]) {
      // Views that conjugate or negate on reading have a flag here.
      for (key, value) in pickle.members(of: node.pairs) {
        if case .bool(true) = value, key == "conj" || key == "neg" {
          return .skipped("unsupported view flag \(key); tensor skipped")
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

  private func storageType(_ value: PickleValue) -> String {
    guard let node = pickle.node(value), case .persistent(let identifier) = node.kind,
      let parts = pickle.tuple(identifier), parts.count > 1, let type = pickle.global(parts[1])
    else { return "of its storage" }
    return type.spoken
  }
}
