/// The header of a `numpy.save` array: a Python dictionary literal with type, order and shape.
///
///     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
///
/// Only this exact form is parsed: an array with any other header may contain objects.
///
/// Source: `numpy/lib/format.py`.
struct ArrayHeader {
  /// The size of the values if they are certainly plain numbers or text; otherwise nil.
  private(set) var length: Int?
  private var rest: ArraySlice<UInt8>

  /// The maximum header size; NumPy itself rejects headers above 10,000 bytes.
  private static let sizeLimit = 64 << 10
  private static let depthLimit = 16

  init(_ file: MappedFile, _ range: Range<Int>) {
    rest = []
    guard range.count <= ArrayHeader.sizeLimit else { return }
    rest = unsafe file.withBytes(in: range) { unsafe [UInt8]($0) }[...]
    length = readLength()
  }

  private mutating func readLength() -> Int? {
    var size: Int?
    var count: Int?
    var hasOrder = false
    guard take("{") else { return nil }
    while !take("}") {
      guard let key = text(), take(":") else { return nil }
      switch key {
      case "descr" where size == nil: size = type(depth: 0)
      case "fortran_order" where !hasOrder: hasOrder = take("True") || take("False")
      case "shape" where count == nil: count = shape()
      default: return nil
      }
      guard take(",") || rest.first == UInt8(ascii: "}") else { return nil }
    }
    skipSpace()
    guard rest.isEmpty, hasOrder, let size, let count else { return nil }
    let (length, overflow) = size.multipliedReportingOverflow(by: count)
    return overflow ? nil : length
  }

  /// The size of a value of a type: a string, or a list of fields.
  private mutating func type(depth: Int) -> Int? {
    guard depth < ArrayHeader.depthLimit else { return nil }
    guard take("[") else { return text().flatMap(ArrayHeader.size) }
    var total = 0
    while !take("]") {
      guard take("(") else { return nil }
      // A name, or a title and a name.
      if take("(") {
        guard text() != nil, take(","), text() != nil, take(")") else { return nil }
      } else if text() == nil {
        return nil
      }
      guard take(","), var size = type(depth: depth + 1) else { return nil }
      if take(","), rest.first != UInt8(ascii: ")") {
        guard let count = shape() else { return nil }
        let (product, overflow) = size.multipliedReportingOverflow(by: count)
        guard !overflow else { return nil }
        size = product
        _ = take(",")
      }
      guard take(")") else { return nil }
      guard take(",") || rest.first == UInt8(ascii: "]") else { return nil }
      let (sum, overflow) = total.addingReportingOverflow(size)
      guard !overflow else { return nil }
      total = sum
    }
    return total
  }

  /// The size of a value of a type such as `<f4`, `|S10` or `<M8[ns]`; nil for types that may be
  /// objects.
  private static func size(of type: String) -> Int? {
    var rest = type.utf8[...]
    if let order = rest.first, "<>=|".utf8.contains(order) { rest.removeFirst() }
    guard let letter = rest.popFirst(), "biufcSUVmM?".utf8.contains(letter) else { return nil }
    let digits = rest.prefix { (0x30...0x39).contains($0) }
    guard digits.count <= 9 else { return nil }
    let unit = rest.dropFirst(digits.count)
    let isTime = letter == UInt8(ascii: "m") || letter == UInt8(ascii: "M")
    guard
      unit.isEmpty
        || isTime && unit.first == UInt8(ascii: "[") && unit.last == UInt8(ascii: "]")
    else { return nil }
    if digits.isEmpty { return letter == UInt8(ascii: "?") ? 1 : nil }
    guard let count = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
    return letter == UInt8(ascii: "U") ? 4 * count : count
  }

  /// The product of the dimensions; Python 2 appends an L.
  private mutating func shape() -> Int? {
    guard take("(") else { return nil }
    var product = 1
    while !take(")") {
      skipSpace()
      let digits = rest.prefix { (0x30...0x39).contains($0) }
      guard let size = Int(String(decoding: digits, as: UTF8.self)) else { return nil }
      rest = rest.dropFirst(digits.count)
      _ = take("L")
      let (next, overflow) = product.multipliedReportingOverflow(by: size)
      guard !overflow, take(",") || rest.first == UInt8(ascii: ")") else { return nil }
      product = next
    }
    return product
  }

  /// A quoted string without escapes, not followed by another string.
  private mutating func text() -> String? {
    skipSpace()
    guard let quote = rest.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      return nil
    }
    let text = rest.dropFirst().prefix { $0 != quote && $0 != UInt8(ascii: "\\") && $0 != 0x0A }
    rest = rest.dropFirst(1 + text.count)
    guard rest.popFirst() == quote else { return nil }
    skipSpace()
    return String(decoding: text, as: UTF8.self)
  }

  /// Consumes a token and the spaces around it.
  private mutating func take(_ word: String) -> Bool {
    skipSpace()
    guard rest.starts(with: word.utf8) else { return false }
    rest = rest.dropFirst(word.utf8.count)
    skipSpace()
    return true
  }

  private mutating func skipSpace() {
    rest = rest.drop { $0 == 0x20 || $0 == 0x0A }
  }
}
