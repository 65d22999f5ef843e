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
    throw failure("pickle stack underflow")
  }

  func top() throws(FormatError) -> Value {
    if stack.count > marks.last ?? 0, let value = stack.last { return value }
    if hasForgotten { return .opaque }
    throw failure("pickle stack underflow")
  }

  /// Pops the last MARK and the values above it.
  mutating func itemsToMark() throws(FormatError) -> [Value] {
    var mark = 0
    if let last = marks.popLast() {
      mark = last
    } else if !hasForgotten {
      throw failure("the pickle has no mark to return to")
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

  /// An immutable tuple.
  mutating func tuple(of items: some Collection<Value>) -> Value {
    let isPlain = items.allSatisfy {
      switch $0 {
      case .plain: true
      case .integer(let value): value <= KnownGlobals.allocationLimit
      default: false
      }
    }
    guard isPlain else { return container(of: items, isTuple: true) }
    if let index = plainTuples[items.count] { return .container(index) }
    let value = container(of: items, isTuple: true)
    if case .container(let index) = value, items.count <= Limit.itemsOfOne {
      plainTuples[items.count] = index
    }
    return value
  }

  mutating func container(of items: some Collection<Value>, isTuple: Bool = false) -> Value {
    escape(items)
    guard containers.count < Limit.containers else { return .unseen(isTuple ? items.count : nil) }
    let kept = min(items.count, Limit.itemsOfOne, Limit.items - itemCount)
    containers.append(
      Container(items: Array(items.prefix(kept)), count: items.count, isTuple: isTuple))
    itemCount += kept
    return .container(containers.count - 1)
  }

  /// The items of a tuple or list, if all are remembered; otherwise nil.
  func items(of value: Value) -> [Value]? {
    guard case .container(let index) = value, containers[index].isWhole else { return nil }
    return containers[index].items
  }

  /// Whether a constant is one of a few short texts.
  func text(_ value: Value, isOneOf texts: Set<String>) -> Bool {
    switch value {
    case .text(let constant), .bytes(let constant):
      contents(of: constant, limit: 64).map { texts.contains(String(decoding: $0, as: UTF8.self)) }
        ?? false
    default: false
    }
  }

  /// Handles appended items and keys, which the object below receives. Nothing may change a class
  /// or module, because its other users would see the change.
  mutating func change(_ count: Int?) throws(FormatError) {
    var items: [Value] = []
    if let count {
      for _ in 0..<count { items.append(try pop()) }
      items.reverse()
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
      let kept =
        containers[index].isWhole ? min(items.count, room, Limit.items - itemCount) : 0
      containers[index].items += items.prefix(kept)
      containers[index].count += items.count
      itemCount += kept
    case .opaque: doubt("the pickle changes what cannot be told")
    default: break
    }
  }

  /// Handles state, which the object below receives: a dictionary of attributes, with a second one
  /// for attributes set individually, or whatever its class expects.
  mutating func build() throws(FormatError) {
    let state = try pop()
    escape([state])
    switch try top() {
    case .global(let index):
      found[index].danger = found[index].danger ?? "is changed for all who use it"
      found[index].isUsed = true
    case .numpyType(let index): setState(state, ofType: index)
    case .result: checkAttributes(in: state)
    case .opaque: doubt("the pickle changes what cannot be told")
    // Python cannot set the state of a string, a number or a container.
    case .plain, .integer, .text, .bytes, .container, .unseen: break
    }
  }

  /// Flags a state that sets special attributes: `__class__` and `__dict__` change what the object
  /// is.
  mutating func checkAttributes(in state: Value) {
    let second: Value
    switch state {
    case .unseen(2): return doubt("the pickle sets attributes that cannot be told")
    case .container(let index) where containers[index].isTuple && containers[index].count == 2:
      guard let items = items(of: state) else {
        return doubt("the pickle sets attributes that cannot be told")
      }
      second = items[1]
    default: return
    }
    switch second {
    case .plain, .integer, .text, .bytes: return
    default: break
    }
    let names = items(of: second) ?? [.opaque]
    for position in stride(from: 0, to: names.count, by: 2) {
      guard case .text(let constant) = names[position], let name = text(constant),
        !name.utf8.starts(with: "__".utf8)
      else { return doubt("the pickle sets attributes that cannot be told") }
    }
  }

  /// Marks callables that other objects hold from now on and may call with unseen arguments: rules
  /// only cover calls by the pickle itself.
  mutating func escape(_ items: some Collection<Value>) {
    for item in items {
      if case .numpyType(let index) = item { numpyTypes[index].isInUse = true }
      guard case .global(let index) = item else { continue }
      guard let rule = found[index].rule, rule.needsArguments else { continue }
      found[index].isUsed = true
      found[index].isUnchecked = true
      if rule == .load {
        found[index].danger =
          found[index].danger ?? "is handed to others, which may unpickle any bytes with it"
      }
    }
  }

  /// PyTorch's interpretation of a persistent ID: a storage, or the class in it; in the tar format
  /// the first value is the class.
  mutating func persistent(_ identifier: Value) -> Value {
    escape([identifier])
    switch identifier {
    // A tensor key in the tar format, or a program's own ID.
    case .text, .bytes, .integer, .plain: return .opaque
    default: break
    }
    guard let items = items(of: identifier), items.count > 1 else {
      doubt("a persistent identifier cannot be told")
      return .opaque
    }
    if text(items[0], isOneOf: ["storage"]), case .global(let type) = items[1] {
      return .result(type)
    }
    let isModule = text(items[0], isOneOf: ["module"])
    let type = isModule ? items[1] : items[0]
    guard case .global = type else {
      doubt("a persistent identifier stands for what cannot be told")
      return .opaque
    }
    // PyTorch compares source text at this position with that of the class, and may write a file.
    for source in items.dropFirst(isModule ? 2 : 1) where !isEmpty(source) {
      doubt("a persistent identifier brings the source of a class")
      break
    }
    return type
  }

  /// Whether a value is false in Python.
  private func isEmpty(_ value: Value) -> Bool {
    switch value {
    case .text(let constant), .bytes(let constant):
      contents(of: constant, limit: 8)?.isEmpty == true
    case .integer(let value): value == 0
    default: false
    }
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
      throw failure("memo entry \(index) was never set")
    }
  }

  func memoIndex(_ reader: inout ByteReader) throws(FormatError) -> Int {
    let line = try reader.skipLine()
    let bytes = contents(of: constant(line, .raw), limit: Limit.nameLength)
    guard let index = bytes.flatMap({ PythonText.decimal($0) }), index >= 0 else {
      throw failure("a memo index is not a number")
    }
    return index
  }
}
