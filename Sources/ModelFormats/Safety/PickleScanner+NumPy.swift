/// NumPy dtypes. NumPy does not check their state: a state that omits the object flag turns the
/// bytes of an array into addresses.
extension PickleScanner {
  /// A NumPy dtype.
  struct NumPyType {
    /// The letter of its kind, such as `f` or `O`; nil if unknown.
    let kind: Character?
    /// Bytes per value.
    let size: Int
    var holdsObjects: Bool
    /// Whether its state was set, as NumPy does: once, before its first use.
    var hasState = false
    /// Whether something else refers to it.
    var isInUse = false
  }

  /// The dtype that `numpy.dtype` makes from its arguments; nil if NumPy does not write such
  /// arguments.
  func type(of arguments: [Value]) -> NumPyType? {
    guard arguments.count <= 3 else { return nil }
    for argument in arguments.dropFirst() {
      switch argument {
      case .plain, .integer: break
      default: return nil
      }
    }
    switch arguments.first {
    case .text(let constant), .bytes(let constant):
      guard let code = contents(of: constant, limit: 64) else { return nil }
      return PickleScanner.type(named: String(decoding: code, as: UTF8.self))
        ?? NumPyType(kind: nil, size: 0, holdsObjects: true)
    case .global(let index) where found[index].rule != nil:
      return NumPyType(kind: nil, size: 0, holdsObjects: true)
    case nil: return NumPyType(kind: nil, size: 0, holdsObjects: true)
    default: return nil
    }
  }

  /// A dtype by NumPy's letter and size, such as `<f4`, `O8` or `U7`.
  private static func type(named name: String) -> NumPyType? {
    var rest = name.utf8[...]
    if let order = rest.first, "<>=|".utf8.contains(order) { rest.removeFirst() }
    guard let letter = rest.popFirst(), "biufcSUVmMO?".utf8.contains(letter), rest.count <= 9,
      rest.allSatisfy({ (0x30...0x39).contains($0) })
    else { return nil }
    let kind = Character(Unicode.Scalar(letter))
    let count =
      Int(String(decoding: rest, as: UTF8.self)) ?? (kind == "O" ? 8 : kind == "?" ? 1 : 0)
    return NumPyType(
      kind: kind, size: kind == "U" ? 4 * count : count, holdsObjects: kind == "O")
  }

  /// Accepts a dtype's state if NumPy writes such a state for this dtype.
  ///
  /// Source: `arraydescr_reduce` in NumPy's `descriptor.c`.
  mutating func setState(_ state: Value, ofType index: Int) {
    guard let holdsObjects = holdsObjects(numpyTypes[index], state: state) else {
      return doubt("a type of NumPy's arrays is given a state that NumPy does not write")
    }
    numpyTypes[index].hasState = true
    numpyTypes[index].holdsObjects = holdsObjects
  }

  /// Whether a dtype with this state contains objects; nil if NumPy does not write such a state.
  private func holdsObjects(_ type: NumPyType, state: Value) -> Bool? {
    guard !type.hasState, !type.isInUse, let kind = type.kind, let items = items(of: state),
      items.count == 8 || items.count == 9 && "mM".contains(kind),
      case .integer(3...4) = items[0], text(items[1], isOneOf: ["<", ">", "=", "|"]),
      case .plain = items[2], case .integer(let size) = items[5],
      case .integer(-1...64) = items[6], case .integer(let flags) = items[7]
    else { return nil }
    guard size == type.size || size == -1 && !"SUV".contains(kind) else { return nil }
    if case .plain = items[3], case .plain = items[4] {
      let isAsWritten = kind == "O" ? flags == 63 : flags == 0 || kind == "U" && flags == 8
      return isAsWritten ? kind == "O" : nil
    }
    guard kind == "V", let names = self.items(of: items[3]), let fields = self.items(of: items[4])
    else { return nil }
    return holdsObjects(names: names, fields: fields, size: type.size, flags: flags)
  }

  /// Whether a dtype with several fields, each with its offset, contains objects.
  private func holdsObjects(
    names: [Value], fields: [Value], size: Int, flags: Int
  ) -> Bool? {
    var known: Set<String> = []
    var holdsObjects = false
    for position in stride(from: 0, to: fields.count - 1, by: 2) {
      guard case .text(let constant) = fields[position], let name = text(constant),
        let place = items(of: fields[position + 1]), place.count == 2 || place.count == 3,
        case .numpyType(let number) = place[0], case .integer(let offset) = place[1]
      else { return nil }
      let type = numpyTypes[number]
      guard type.hasState, offset >= 0, type.size <= size, offset <= size - type.size else {
        return nil
      }
      if type.holdsObjects { holdsObjects = true }
      known.insert(name)
    }
    for name in names {
      guard case .text(let constant) = name, let name = text(constant), known.contains(name) else {
        return nil
      }
    }
    // 128, or -128 as a signed byte, means aligned fields; 8 and 16 are what Python types need.
    let plainFlags = flags & 0x7F
    guard (-128...255).contains(flags), fields.count % 2 == 0,
      holdsObjects ? plainFlags == 27 : plainFlags & ~24 == 0
    else { return nil }
    return holdsObjects
  }
}
