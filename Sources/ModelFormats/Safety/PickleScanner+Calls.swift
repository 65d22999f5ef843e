/// Calls and their arguments.
extension PickleScanner {
  /// The result of a call, after checking its arguments by the callable's rule.
  mutating func call(_ callable: Value, _ arguments: Value, depth: Int = 0) -> Value {
    switch callable {
    case .global(let index):
      found[index].isUsed = true
      guard let rule = found[index].rule else {
        inspect(arguments, of: callable)
        return .result(index)
      }
      return known(rule, index, arguments, depth: depth)
    case .result(let index):
      // Rules do not apply to instances of known classes: modules call what they contain.
      found[index].isUsed = true
      found[index].isUnchecked = true
      inspect(arguments, of: callable)
      return .result(index)
    case .opaque:
      doubt("the pickle calls what cannot be told")
      return .opaque
    // Python cannot call a string, a number or a container.
    case .plain, .integer, .text, .bytes, .container, .unseen, .numpyType: return .plain
    }
  }

  private mutating func known(
    _ rule: KnownGlobals.Rule, _ index: Int, _ arguments: Value, depth: Int
  ) -> Value {
    let items = items(of: arguments)
    func isUnchecked() -> Value {
      found[index].isUnchecked = true
      return .opaque
    }
    switch rule {
    case .harmless: break
    case .array: found[index].isUnchecked = true
    case .bare:
      guard let items, items.isEmpty else { return isUnchecked() }
    case .numpyType:
      guard let items, let type = type(of: items) else { return isUnchecked() }
      guard numpyTypes.count < Limit.numpyTypes else { return .opaque }
      numpyTypes.append(type)
      return .numpyType(numpyTypes.count - 1)
    case .numpyArray:
      guard let items, (2...3).contains(items.count), case .global(let type) = items[0],
        found[type].rule == .array, let shape = self.items(of: items[1]), shape.count == 1
      else { return isUnchecked() }
      switch items.last {
      case .text, .bytes, .result, .container: break
      default: return isUnchecked()
      }
    case .numpyScalar:
      // For an object dtype it returns its argument.
      guard let items, items.count == 2, case .numpyType = items[0] else { return isUnchecked() }
      switch items[1] {
      case .bytes, .text: break
      case .result(let maker) where [.codec, .container].contains(found[maker].rule): break
      default: return isUnchecked()
      }
    case .withState:
      guard let items, items.count == 4 else { return isUnchecked() }
      checkAttributes(in: items[3])
    case .container:
      guard let items else { return isUnchecked() }
      if case .integer(let count)? = items.first, count > KnownGlobals.allocationLimit {
        found[index].danger = "allocates as much memory as it is told"
      }
      if case .result(let source)? = items.first, found[source].global.name.hasSuffix("range") {
        found[index].danger = "allocates as much memory as it is told"
      }
    case .firstArgument:
      guard let first = items?.first else { return isUnchecked() }
      return first
    case .codec:
      guard let items, let first = items.first else { return isUnchecked() }
      guard items.count > 1 else { break }
      guard case .text(let codec) = items[1],
        let codec = contents(of: codec, limit: 64).map({ String(decoding: $0, as: UTF8.self) })?
          .lowercased(), KnownGlobals.codecs.contains(codec)
      else { return isUnchecked() }
      if case .text(var constant) = first {
        constant.isLatin1 = codec.hasPrefix("latin")
        return .bytes(constant)
      }
    case .load:
      if items?.count == 1, case .bytes(let constant)? = items?.first {
        loads.append(Load(offset: offset, argument: constant))
      } else {
        loads.append(Load(offset: offset, argument: nil))
      }
    case .instance:
      guard let items, let type = items.first, depth < 8 else { return isUnchecked() }
      let rest = tuple(of: items.dropFirst())
      inspect(rest, of: type)
      return call(type, rest, depth: depth + 1)
    case .keywordInstance:
      guard let items, items.count > 2, depth < 8 else { return isUnchecked() }
      inspect(arguments, of: items[0])
      checkKeywords(items[2], of: items[0])
      return call(items[0], items[1], depth: depth + 1)
    case .reconstructor:
      guard let items, items.count > 2, depth < 8 else { return isUnchecked() }
      inspect(arguments, of: items[0])
      // The base class, which makes the object from the state.
      guard case .global(let base) = items[1] else { return isUnchecked() }
      if KnownGlobals.isObject(found[base].global) {
        return call(items[0], tuple(of: []), depth: depth + 1)
      }
      if let rule = found[base].rule, rule != .harmless, rule != .container { return isUnchecked() }
      return call(items[0], tuple(of: items[2...]), depth: depth + 1)
    case .typedTensor:
      guard let items, items.count >= 3, depth < 8 else { return isUnchecked() }
      let result = call(items[0], items[2], depth: depth + 1)
      switch result {
      case .global(let changed):
        found[changed].danger = found[changed].danger ?? "is changed for all who use it"
      case .result: break
      default: found[index].isUnchecked = true
      }
      if items.count > 3 { checkAttributes(in: items[3]) }
      return result
    }
    return .result(index)
  }

  /// Rules cover positional arguments in a tuple, not keyword arguments.
  mutating func checkKeywords(_ keywords: Value, of callable: Value) {
    if let items = items(of: keywords), items.isEmpty { return }
    guard case .global(let index) = callable else { return }
    found[index].isUsed = true
    found[index].isUnchecked = true
  }

  /// Inspects the arguments of an unknown callable.
  mutating func inspect(_ arguments: Value, of callable: Value) {
    let index: Int
    switch callable {
    case .global(let number), .result(let number): index = number
    default: return
    }
    guard found[index].rule == nil, found[index].danger == nil else { return }
    var budget = min(64, valueWorkLeft)
    guard budget > 0 else { return }
    if let danger = suspicion(of: arguments, given: index, depth: 0, &budget) {
      found[index].danger = danger
    }
    if valueWorkLeft <= 0 {
      doubt("unknown functions are called with more values than were looked at")
    }
  }

  /// A text that was inspected as an argument of a callable.
  struct Inspection: Hashable {
    let offset: Int
    let callable: Int
  }

  private mutating func suspicion(
    of value: Value, given callable: Int, depth: Int, _ budget: inout Int
  ) -> String? {
    guard depth < 4, budget > 0 else { return nil }
    budget -= 1
    valueWorkLeft -= 1
    switch value {
    case .text(let constant), .bytes(let constant):
      guard constant.count <= Limit.nameLength,
        inspected.insert(Inspection(offset: constant.offset, callable: callable)).inserted
      else { return nil }
      textWorkLeft -= max(64, constant.count)
      guard textWorkLeft >= 0 else {
        valueWorkLeft = 0
        budget = 0
        return nil
      }
      return text(constant).flatMap {
        SuspiciousText.danger(of: $0, givenTo: found[callable].global)
      }
    case .container(let index):
      for item in containers[index].items {
        let danger = suspicion(of: item, given: callable, depth: depth + 1, &budget)
        if let danger { return danger }
      }
      return nil
    default: return nil
    }
  }
}
