extension PickleMachine {
  /// The lowest stack position that may be popped: items below were pushed before the last MARK.
  var fence: Int { marks.last ?? 0 }

  mutating func push(_ value: PickleValue) throws(FormatError) {
    guard stack.count < limits.stack else {
      throw malformed("the pickle's stack grows beyond \(limits.stack) values")
    }
    stack.append(value)
  }

  mutating func pop() throws(FormatError) -> PickleValue {
    guard stack.count > fence, let value = stack.popLast() else {
      throw malformed("pickle stack underflow")
    }
    return value
  }

  func top() throws(FormatError) -> PickleValue {
    guard stack.count > fence, let value = stack.last else {
      throw malformed("pickle stack underflow")
    }
    return value
  }

  mutating func popToMark() throws(FormatError) -> [PickleValue] {
    guard let mark = marks.popLast() else {
      throw malformed("the pickle has no mark to return to")
    }
    let items = Array(stack[mark...])
    stack.removeSubrange(mark...)
    return items
  }

  /// Pops the values since the last MARK, to be kept in a container.
  mutating func popItems(each cost: Int = Cost.item) throws(FormatError) -> [PickleValue] {
    try spend(cost * (stack.count - fence))
    return try popToMark()
  }

  mutating func popPairs() throws(FormatError) -> [PickleValue] {
    try spend(Cost.member * (stack.count - fence))
    let items = try popToMark()
    guard items.count.isMultiple(of: 2) else {
      throw malformed("a dictionary is given a key without a value")
    }
    return items
  }

  mutating func popTuple() throws(FormatError) -> PickleValue {
    let value = try pop()
    guard case .node(let index) = value, case .tuple = nodes[index].kind else {
      throw malformed("the arguments of a call are not a tuple")
    }
    return value
  }

  mutating func makeNode(_ node: PickleNode) throws(FormatError) -> PickleValue {
    try spend(Cost.node)
    nodes.append(node)
    nodes[nodes.count - 1].offset = offset
    return .node(nodes.count - 1)
  }

  mutating func push(node: PickleNode) throws(FormatError) {
    try push(try makeNode(node))
  }

  mutating func pushTuple(_ count: Int) throws(FormatError) {
    try spend(Cost.item * count)
    var items: [PickleValue] = []
    for _ in 0..<count { items.append(try pop()) }
    try push(node: PickleNode(kind: .tuple, items: items.reversed()))
  }

  mutating func append(_ items: [PickleValue]) throws(FormatError) {
    guard case .node(let index) = try top() else {
      throw malformed("cannot append items: the target is not a list")
    }
    switch nodes[index].kind {
    case .list, .call, .instance: nodes[index].items.append(contentsOf: items)
    default: throw malformed("cannot append items: the target is not a list")
    }
  }

  mutating func addItems(_ items: [PickleValue]) throws(FormatError) {
    guard case .node(let index) = try top() else {
      throw malformed("cannot add items: the target is not a set")
    }
    switch nodes[index].kind {
    case .set, .call, .instance: nodes[index].items.append(contentsOf: items)
    default: throw malformed("cannot add items: the target is not a set")
    }
  }

  mutating func setPairs(_ pairs: [PickleValue]) throws(FormatError) {
    guard case .node(let index) = try top() else {
      throw malformed("cannot set items: the target is not a dictionary")
    }
    switch nodes[index].kind {
    case .dictionary, .call, .instance: nodes[index].pairs.append(contentsOf: pairs)
    default: throw malformed("cannot set items: the target is not a dictionary")
    }
  }

  mutating func giveState(_ state: PickleValue) throws(FormatError) {
    guard case .node(let index) = try top() else {
      throw malformed("cannot set a state: the target is not an object")
    }
    switch nodes[index].kind {
    case .dictionary, .list, .set, .call, .instance, .persistent:
      try spend(Cost.item)
      nodes[index].states.append(state)
    case .tuple, .bigInteger, .complex, .global:
      throw malformed("cannot set a state: the target is not an object")
    }
  }

  mutating func put(at index: Int) throws(FormatError) {
    let value = try top()
    if memo[index] == nil { try spend(memo.isNext(index) ? Cost.memo : Cost.sparseMemo) }
    memo[index] = value
  }

  mutating func get(_ index: Int) throws(FormatError) {
    guard let value = memo[index] else {
      throw malformed("memo entry \(index) was never set")
    }
    try push(value)
  }

  func memoIndex(_ line: [UInt8]) throws(FormatError) -> Int {
    guard let index = Int(String(decoding: line, as: UTF8.self)), index >= 0 else {
      throw malformed("a memo index is not a number")
    }
    return index
  }

  func line(_ reader: inout ByteReader) throws(FormatError) -> String {
    guard let text = String(validating: try reader.line(), as: UTF8.self) else {
      throw malformed("a name is not UTF-8")
    }
    return text
  }

  /// Pushes a Python 2 string: text if it is UTF-8, otherwise bytes.
  mutating func pushString(_ bytes: [UInt8]) throws(FormatError) {
    try spendText(bytes.count)
    try push(String(validating: bytes, as: UTF8.self).map { .string($0) } ?? .bytes(bytes))
  }

  mutating func pushText(_ count: Int, _ reader: inout ByteReader) throws(FormatError) {
    guard let text = try reader.text(count) else { throw malformed("a string is not UTF-8") }
    try spendText(count)
    try push(.string(text))
  }

  mutating func pushBytes(_ count: Int, _ reader: inout ByteReader) throws(FormatError) {
    let bytes = try reader.array(count)
    try spendText(count)
    try push(.bytes(bytes))
  }

  /// Counts the overhead of a string or bytes; short ones are stored inline.
  private mutating func spendText(_ count: Int) throws(FormatError) {
    if count > 15 { try spend(Cost.text) }
  }

  mutating func pushGlobal(module: String, name: String) throws(FormatError) {
    let global = Pickle.Global(module: module, name: name)
    if let index = knownGlobals[global] { return try push(.node(index)) }
    try spend(Cost.global + module.utf8.count + name.utf8.count)
    knownGlobals[global] = nodes.count
    globals.append((global, offset))
    try push(node: PickleNode(kind: .global(module: module, name: name)))
  }

  /// Pushes an extension code, a number for a class by a private convention, which is unknown here.
  mutating func pushExtension(_ code: Int) throws(FormatError) {
    try pushGlobal(module: "copyreg", name: "extension \(code)")
  }

  /// Pushes a little-endian two's complement integer.
  mutating func pushLong(_ bytes: [UInt8]) throws(FormatError) {
    if let value = PythonText.integer(bytes) { return try push(.integer(value)) }
    try push(node: PickleNode(kind: .bigInteger(bytes)))
  }

  mutating func pushDecimal(_ line: [UInt8], isLong: Bool) throws(FormatError) {
    if !isLong, line == Array("00".utf8) { return try push(.bool(false)) }
    if !isLong, line == Array("01".utf8) { return try push(.bool(true)) }
    let digits = line.last == UInt8(ascii: "L") ? line.dropLast() : line[...]
    if let value = Int(String(decoding: digits, as: UTF8.self)) {
      return try push(.integer(value))
    }
    guard let bytes = PythonText.bigInteger(decimal: digits) else {
      throw malformed("an integer is not a number of at most 128 digits")
    }
    try push(node: PickleNode(kind: .bigInteger(bytes)))
  }
}
