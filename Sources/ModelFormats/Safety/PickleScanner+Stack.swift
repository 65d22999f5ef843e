/// The stack, the memo, and the containers whose items matter.
extension PickleScanner {
  // MARK: Stack

  mutating func push(_ value: Value) {
    if stack.count >= Limit.stack {
      let half = Limit.stack / 2
      stack.removeFirst(half)
      marks = marks.compactMap { $0 < half ? nil : $0 - half }
      forget()
    }
    stack.append(value)
  }

  mutating func push(_ reader: inout ByteReader, _ count: Int, isText: Bool) throws(FormatError) {
    let start = reader.offset
    try reader.skip(count)
    let constant = Constant(offset: start, count: count, form: .raw)
    if !isText, count > 4, inner.count < Limit.inner {
      let head = Content.head(of: file, start..<(start + count), count: 2)
      if head[0] == 0x80, (2...5).contains(head[1]) { inner.append(constant) }
    }
    push(isText ? .text(constant) : .bytes(constant))
  }

  mutating func forget() {
    hasForgotten = true
    isIncomplete = true
  }

  mutating func pop() throws(FormatError) -> Value {
    if stack.count > marks.last ?? 0 { return stack.removeLast() }
    if hasForgotten { return .opaque }
    throw failure("the pickle takes a value that is not there")
  }

  func top() throws(FormatError) -> Value {
    if stack.count > marks.last ?? 0, let value = stack.last { return value }
    if hasForgotten { return .opaque }
    throw failure("the pickle uses a value that is not there")
  }

  /// Takes the values above the last mark, and that.
  mutating func itemsToMark() throws(FormatError) -> [Value] {
    var mark = 0
    if let last = marks.popLast() {
      mark = last
    } else if !hasForgotten {
      throw failure("the pickle goes back to a mark that is not there")
    }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  mutating func pushTuple(_ count: Int) throws(FormatError) {
    var items: [Value] = []
    for _ in 0..<count { items.append(try pop()) }
    items.reverse()
    push(tuple(of: items))
  }

  /// A tuple, which nothing changes.
  mutating func tuple(of items: some Collection<Value>) -> Value {
    let isPlain = items.allSatisfy {
      switch $0 {
      case .plain: true
      case .integer(let value): value <= KnownGlobals.allocationLimit
      default: false
      }
    }
    guard isPlain else { return container(of: items) }
    if let index = plainTuples[items.count] { return .container(index) }
    let value = container(of: items)
    if case .container(let index) = value, items.count <= Limit.itemsOfOne {
      plainTuples[items.count] = index
    }
    return value
  }

  mutating func container(of items: some Collection<Value>) -> Value {
    escape(items)
    guard containers.count < Limit.containers else { return .opaque }
    let kept = min(items.count, Limit.itemsOfOne, Limit.items - itemCount)
    containers.append(Container(items: Array(items.prefix(kept)), isWhole: kept == items.count))
    itemCount += kept
    return .container(containers.count - 1)
  }

  /// Appends, keys, and state: what the object below takes. Nothing may change a class or module,
  /// whose other users would find it changed.
  mutating func change(_ count: Int?) throws(FormatError) {
    var items: [Value] = []
    if let count {
      for _ in 0..<count { items.append(try pop()) }
    } else {
      items = try itemsToMark()
    }
    escape(items)
    switch try top() {
    case .global(let index):
      found[index].danger = found[index].danger ?? "is changed for all who use it"
      found[index].isUsed = true
    case .container(let index):
      let room = Limit.itemsOfOne - min(Limit.itemsOfOne, containers[index].items.count)
      let kept = min(items.count, room, Limit.items - itemCount)
      containers[index].items += items.prefix(kept)
      if kept < items.count { containers[index].isWhole = false }
      itemCount += kept
    default: break
    }
  }

  /// Marks the callables among values that others hold from now on, and may call with arguments that
  /// are not seen: only as what the pickle itself calls are they checked.
  mutating func escape(_ items: some Collection<Value>) {
    for case .global(let index) in items {
      guard let rule = found[index].rule, rule.needsArguments else { continue }
      found[index].isUsed = true
      found[index].isUnchecked = true
      if rule == .load {
        found[index].danger =
          found[index].danger ?? "is handed to others, which may unpickle any bytes with it"
      }
    }
  }

  /// What PyTorch takes a persistent identifier for: a storage, or the class or function in it.
  mutating func persistent(_ identifier: Value) -> Value {
    escape([identifier])
    guard case .container(let index) = identifier, containers[index].items.count > 1 else {
      return .opaque
    }
    let items = containers[index].items
    if case .text(let kind) = items[0], text(kind) == "storage" {
      guard case .global(let type) = items[1] else { return .opaque }
      return .result(type)
    }
    return items[1]
  }

  // MARK: Memo

  mutating func put(at index: Int) throws(FormatError) {
    let value = try top()
    if index < memo.count {
      memo[index] = value
    } else if index == memo.count, memo.count < Limit.memo, sparseMemo[index] == nil {
      memo.append(value)
    } else if sparseMemo.count < Limit.memo / 8 || sparseMemo[index] != nil {
      sparseMemo[index] = value
    } else {
      forget()
    }
  }

  mutating func get(_ index: Int) throws(FormatError) {
    if index < memo.count {
      push(memo[index])
    } else if let value = sparseMemo[index] {
      push(value)
    } else if hasForgotten {
      push(.opaque)
    } else {
      throw failure("the pickle recalls value \(index), which was not memorised")
    }
  }

  func memoIndex(_ reader: inout ByteReader) throws(FormatError) -> Int {
    let line = try reader.skipLine()
    let bytes = contents(of: constant(line, .raw), limit: Limit.nameLength)
    guard let index = bytes.flatMap({ PythonText.decimal($0) }), index >= 0 else {
      throw failure("a memo index is not written as a number")
    }
    return index
  }
}
