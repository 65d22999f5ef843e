import OrderedJSON

/// What a field of a job holds, as JSON writes it.
protocol JobValue: Sendable {
  /// - Parameter json: a value that ``JobField/value(of:)`` gave.
  init?(json: JSON)
  /// - Parameter isNumber: whether a text that is a number is written as one.
  func json(numbers isNumber: Bool) -> JSON
}

extension Int: JobValue {
  init?(json: JSON) {
    guard let value = json.int else { return nil }
    self = value
  }

  func json(numbers isNumber: Bool) -> JSON { .integer(self) }
}

extension Bool: JobValue {
  init?(json: JSON) {
    guard let value = json.bool else { return nil }
    self = value
  }

  func json(numbers isNumber: Bool) -> JSON { .bool(self) }
}

extension String: JobValue {
  init?(json: JSON) {
    guard let value = json.string else { return nil }
    self = value
  }

  /// A text that is a number is one where JSON writes it back the same, as a tile of 512 pixels.
  func json(numbers isNumber: Bool) -> JSON {
    guard isNumber else { return .string(self) }
    if let number = Int(self), String(number) == self { return .integer(number) }
    if let number = Double(self), number.isFinite, "\(number)" == self { return .number(number) }
    return .string(self)
  }
}

extension Array: JobValue where Element: JobValue {
  init?(json: JSON) {
    let values = (json.array ?? [json]).map { Element(json: $0) }
    self = values.compactMap { $0 }
    guard count == values.count else { return nil }
  }

  func json(numbers isNumber: Bool) -> JSON { .array(map { $0.json(numbers: isNumber) }) }
}
