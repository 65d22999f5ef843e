/// Calls, and what they are called with.
extension PickleScanner {
  /// What a call gives, after looking at its arguments as the callable's rule asks.
  mutating func call(
    _ callable: Value, _ arguments: Value, dropping dropped: Int = 0, depth: Int = 0
  ) -> Value {
    switch callable {
    case .global(let index):
      found[index].isUsed = true
      guard let rule = found[index].rule else {
        inspect(arguments, of: callable)
        return .result(index)
      }
      return known(rule, index, arguments, dropping: dropped, depth: depth)
    case .result(let index):
      inspect(arguments, of: callable)
      return .result(index)
    default: return .opaque
    }
  }

  private mutating func known(
    _ rule: KnownGlobals.Rule, _ index: Int, _ arguments: Value, dropping dropped: Int, depth: Int
  ) -> Value {
    var items: [Value]?
    if case .container(let container) = arguments, containers[container].isWhole {
      items = Array(containers[container].items.dropFirst(dropped))
    }
    switch rule {
    case .harmless: break
    case .container:
      if case .integer(let count)? = items?.first, count > KnownGlobals.allocationLimit {
        found[index].danger = "allocates as much memory as it is told"
      }
      if case .result(let source)? = items?.first, found[source].global.name.hasSuffix("range") {
        found[index].danger = "allocates as much memory as it is told"
      }
    case .firstArgument: return items == nil ? .opaque : items?.first ?? .plain
    case .codec:
      guard let items, let first = items.first else {
        found[index].isUnchecked = true
        break
      }
      guard items.count > 1 else { break }
      guard case .text(let codec) = items[1], let codec = text(codec)?.lowercased(),
        KnownGlobals.codecs.contains(codec)
      else {
        found[index].isUnchecked = true
        break
      }
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
    case .instance, .keywordInstance, .reconstructor:
      guard let type = items?.first, depth < 8 else { return .opaque }
      inspect(arguments, of: type)
      return call(type, .plain, depth: depth + 1)
    case .typedTensor:
      guard let items, items.count >= 3, depth < 8 else { return .opaque }
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
    if let danger = suspicion(of: arguments, depth: 0, &budget) {
      found[index].danger = danger
    }
  }

  private func suspicion(of value: Value, depth: Int, _ budget: inout Int) -> String? {
    guard depth < 4, budget > 0 else { return nil }
    budget -= 1
    switch value {
    case .text(let constant), .bytes(let constant):
      return text(constant).flatMap(SuspiciousText.danger)
    case .container(let index):
      for item in containers[index].items {
        if let danger = suspicion(of: item, depth: depth + 1, &budget) { return danger }
      }
      return nil
    default: return nil
    }
  }
}
