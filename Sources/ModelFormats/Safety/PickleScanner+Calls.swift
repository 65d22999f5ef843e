/// Calls, and what they are called with.
extension PickleScanner {
  /// What a call gives, after looking at its arguments as the callable's rule asks.
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
      // An instance of a known class is none of what its rule knows: modules call what they hold.
      found[index].isUsed = true
      found[index].isUnchecked = true
      inspect(arguments, of: callable)
      return .result(index)
    case .opaque:
      doubt("the pickle calls what cannot be told")
      return .opaque
    // Python refuses to call a text, a number or a container.
    case .plain, .integer, .text, .bytes, .container: return .plain
    }
  }

  private mutating func known(
    _ rule: KnownGlobals.Rule, _ index: Int, _ arguments: Value, depth: Int
  ) -> Value {
    var items: [Value]?
    if case .container(let container) = arguments, containers[container].isWhole {
      items = containers[container].items
    }
    func isUnchecked() -> Value {
      found[index].isUnchecked = true
      return .opaque
    }
    switch rule {
    case .harmless: break
    case .array: found[index].isUnchecked = true
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
      guard case .text(let codec) = items[1], let codec = text(codec)?.lowercased(),
        KnownGlobals.codecs.contains(codec)
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
      guard let items, items.count > 1, depth < 8 else { return isUnchecked() }
      inspect(arguments, of: items[0])
      return call(items[0], items[1], depth: depth + 1)
    case .reconstructor:
      guard let items, items.count > 2, depth < 8 else { return isUnchecked() }
      inspect(arguments, of: items[0])
      return call(items[0], tuple(of: items[2...]), depth: depth + 1)
    case .typedTensor:
      guard let items, items.count >= 3, depth < 8 else { return isUnchecked() }
      let result = call(items[0], items[2], depth: depth + 1)
      if case .global(let changed) = result {
        found[changed].danger = found[changed].danger ?? "is changed for all who use it"
      }
      return result
    }
    return .result(index)
  }

  /// Looks at what something of which nothing is known is called with.
  mutating func inspect(_ arguments: Value, of callable: Value) {
    let index: Int
    switch callable {
    case .global(let number), .result(let number): index = number
    default: return
    }
    guard found[index].rule == nil, found[index].danger == nil else { return }
    var budget = 64
    if let danger = suspicion(of: arguments, given: found[index].global, depth: 0, &budget) {
      found[index].danger = danger
    }
  }

  private func suspicion(
    of value: Value, given callable: Pickle.Global, depth: Int, _ budget: inout Int
  ) -> String? {
    guard depth < 4, budget > 0 else { return nil }
    budget -= 1
    switch value {
    case .text(let constant), .bytes(let constant):
      return text(constant).flatMap { SuspiciousText.danger(of: $0, givenTo: callable) }
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
