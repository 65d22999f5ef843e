import OrderedJSON

extension Pickle {
  /// The storage of a persistent ID; nil if its type is not supported.
  ///
  /// The ID is `('storage', class, key, location, elements)`; before version 1.6 the sixth part is
  /// None or, for a view, `(key, offset, elements)`.
  func storageReference(
    _ value: PickleValue
  ) throws(FormatError) -> TorchStorageReference? {
    guard let node = node(value), case .persistent(let identifier) = node.kind,
      let parts = tuple(identifier), (5...6).contains(parts.count),
      text(parts[0]) == "storage", let type = global(parts[1]), let key = text(parts[2]),
      let location = text(parts[3]), case .integer(let count) = parts[4]
    else {
      throw FormatError(.malformed, "invalid storage reference")
    }
    let isUntyped = type.name == "UntypedStorage"
    let dtype = DType(torchStorage: type.name)
    guard type.module.split(separator: ".").first == "torch", isUntyped || dtype != nil else {
      return nil
    }
    let width = (dtype ?? .uint8).bitWidth / 8
    guard let byteCount = product(count, width) else {
      throw FormatError(.malformed, "the storage \(key) has \(count) elements")
    }
    var view: Range<Int>?
    if parts.count == 6, let members = tuple(parts[5]) {
      guard members.count == 3, case .integer(let start) = members[1],
        case .integer(let length) = members[2], let lower = product(start, width),
        let size = product(length, width),
        case (let upper, false) = lower.addingReportingOverflow(size)
      else {
        throw FormatError(.malformed, "the view of storage \(key) is not described")
      }
      view = lower..<upper
    }
    return TorchStorageReference(
      key: key, dtype: dtype, byteCount: byteCount, location: location, view: view)
  }

  /// The product of two sizes; nil if one is negative or it overflows `Int`.
  private func product(_ left: Int, _ right: Int) -> Int? {
    let (result, overflow) = left.multipliedReportingOverflow(by: right)
    return overflow || left < 0 || right < 0 ? nil : result
  }

  func text(_ value: PickleValue) -> String? {
    if case .string(let text) = value { text } else { nil }
  }

  /// The members of a dictionary, named by their keys; for equal keys, the last value at the first
  /// position, as in Python.
  func members(of pairs: [PickleValue]) -> [(name: String, value: PickleValue)] {
    var members: [(name: String, value: PickleValue)] = []
    var index: [ExactName: Int] = [:]
    for position in stride(from: 0, to: pairs.count - 1, by: 2) {
      let (key, value) = (pairs[position], pairs[position + 1])
      let name = spelling(of: key)
      // Keys of different types differ even if spelled alike.
      let tag =
        switch key {
        case .string: "s"
        case .bytes: "b"
        case .node(let index): "n\(index)"
        default: "v"
        }
      let exact = ExactName(tag + name)
      if let known = index.updateValue(members.count, forKey: exact) {
        index[exact] = known
        members[known].value = value
      } else {
        members.append((name, value))
      }
    }
    return members
  }

  /// A plain value for a message, shortened if long.
  func shortText(of value: PickleValue) -> String {
    let text = spelling(of: value)
    return text.utf8.count > 80 ? "\(text.prefix(60))…" : text
  }

  private func spelling(of key: PickleValue) -> String {
    switch key {
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .integer(let value): String(value)
    case .real(let value): "\(value)"
    case .string(let value): value
    case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
    case .node(let index):
      switch nodes[index].kind {
      case .tuple: "(" + spelling(of: nodes[index].items) + ")"
      case .list: "[" + spelling(of: nodes[index].items) + "]"
      case .dictionary: "a dictionary of \(nodes[index].pairs.count / 2)"
      case .global(let module, let name): "\(module).\(name)"
      case .set: "a set of \(nodes[index].items.count)"
      case .bigInteger: "an integer that exceeds 64 bits"
      case .complex(let real, let imaginary): "(\(real), \(imaginary)i)"
      default: "object"
      }
    }
  }

  private func spelling(of items: [PickleValue]) -> String {
    items.prefix(16).map { if case .node = $0 { "…" } else { spelling(of: $0) } }
      .joined(separator: ", ") + (items.count > 16 ? ", …" : "")
  }
}
