/// Constants and the names made from them.
extension PickleScanner {
  func constant(_ range: Range<Int>, _ form: Constant.Form) -> Constant {
    Constant(offset: range.lowerBound, count: range.count, form: form)
  }

  func long(_ bytes: [UInt8]) -> Value { .integer(PythonText.integer(bytes) ?? .max) }

  /// The bytes of a constant, at most `limit`, unchanged; nil if there are none.
  func contents(of constant: Constant, limit: Int) -> [UInt8]? {
    guard constant.count <= limit else { return nil }
    let bytes = unsafe file.withBytes(in: constant.offset..<(constant.offset + constant.count)) {
      unsafe [UInt8]($0)
    }
    var plain: [UInt8]?
    switch constant.form {
    case .raw: plain = bytes
    case .quoted: plain = PythonText.quoted(bytes)
    case .escaped: plain = PythonText.rawUnicodeEscape(bytes).map { Array($0.utf8) }
    }
    guard constant.isLatin1, let text = plain else { return plain }
    var characters: [UInt8] = []
    characters.reserveCapacity(text.count)
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      guard scalar.value < 256 else { return nil }
      characters.append(UInt8(truncatingIfNeeded: scalar.value))
    }
    return characters
  }

  func string(_ range: Range<Int>, _ form: Constant.Form) -> String {
    text(constant(range, form)) ?? ""
  }

  /// A short constant as text; nil for a long one.
  func text(_ constant: Constant) -> String? {
    contents(of: constant, limit: Limit.nameLength).map { String(decoding: $0, as: UTF8.self) }
  }
}

extension PickleScanner {
  /// A name, by the offsets of its two constants.
  struct ConstantPair: Hashable {
    private let module: Int
    private let name: Int

    init(module: Constant, name: Constant) {
      self.module = module.offset
      self.name = name.offset
    }
  }

  func name(_ reader: inout ByteReader) throws(FormatError) -> Value {
    .text(constant(try reader.skipLine(), .raw))
  }

  /// The class or function with this name; unknown if the name was computed.
  mutating func global(_ module: Value, _ name: Value) throws(FormatError) -> Value {
    var pair: ConstantPair?
    if case .text(let module) = module, case .text(let name) = name {
      let constants = ConstantPair(module: module, name: name)
      if let index = namesOfConstants[constants] {
        if !isGuess { found[index].isChance = false }
        return .global(index)
      }
      pair = constants
      nameWorkLeft -= max(
        Limit.nameCost, min(module.count, Limit.nameLength) + min(name.count, Limit.nameLength))
      guard nameWorkLeft >= 0 else { throw tooManyNames() }
    }
    var parts: [String] = []
    var isChance = false
    for value in [module, name] {
      switch value {
      case .text(let constant):
        let text = text(constant)
        // If this may not be a pickle, other lines can be here by chance.
        if isGuess, !PickleScanner.isName(text ?? "") { isChance = true }
        parts.append(text ?? "(a name of \(constant.count) bytes)")
      case .result, .opaque: parts.append("(computed)")
      default: throw failure("a class name is not a string")
      }
    }
    let isComputed = parts.contains("(computed)")
    // A forgotten value may have been this name.
    let index = try add(
      Pickle.Global(module: parts[0], name: parts[1]),
      danger: isComputed && !hasForgotten ? "is a name that the pickle computes" : nil,
      isChance: isChance)
    if let pair, namesOfConstants.count < Limit.globals { namesOfConstants[pair] = index }
    return .global(index)
  }

  private mutating func tooManyNames() -> FormatError {
    if !found.isEmpty {
      found[found.count - 1].danger = "is followed by more names than any honest file has"
      found[found.count - 1].isChance = false
    } else {
      doubt("the pickle has more names than any honest file has")
    }
    return failure("the pickle names more classes and functions than any honest file")
  }

  mutating func pushExtension(_ code: Int) throws(FormatError) {
    push(.global(try add(Pickle.Global(module: "copyreg", name: "extension \(code)"), danger: nil)))
  }

  mutating func add(
    _ global: Pickle.Global, danger: String?, isChance: Bool = false
  ) throws(FormatError) -> Int {
    if let number = numbers[global] {
      if !isChance { found[number].isChance = false }
      return number
    }
    nameBytesLeft -= global.module.utf8.count + global.name.utf8.count
    guard found.count < Limit.globals, nameBytesLeft >= 0 else { throw tooManyNames() }
    numbers[global] = found.count
    if isChance { chances.append(found.count) }
    found.append(
      Found(
        global: global, offset: offset, rule: KnownGlobals.rule(of: global),
        danger: danger ?? global.danger, isChance: isChance))
    return found.count - 1
  }

  /// Whether a text is a dotted name as in programs.
  private static func isName(_ text: String) -> Bool {
    guard !text.isEmpty, text.utf8.count <= 512, !text.hasPrefix("."), !text.hasSuffix(".") else {
      return false
    }
    var isStart = true
    for scalar in text.unicodeScalars {
      let isDigit = ("0"..."9").contains(scalar)
      if scalar == "." {
        guard !isStart else { return false }
        isStart = true
        continue
      }
      guard scalar == "_" || scalar.properties.isAlphabetic || isDigit && !isStart else {
        return false
      }
      isStart = false
    }
    return !isStart
  }
}
