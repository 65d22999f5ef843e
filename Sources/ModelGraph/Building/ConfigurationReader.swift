import OrderedJSON

/// Reads a `config.json` field by field and rejects unhandled fields.
///
/// A field that would change the network but is not supported must never be ignored, so every
/// field is either read, required to have its neutral value, or known to have no effect.
///
/// A null means that the field is absent only if the reference's default is None. For other fields
/// it is a value: false for booleans, because the reference tests truth; otherwise it is rejected
/// like any unsupported value.
struct ConfigurationReader {
  let component: String
  let object: JSONObject
  /// Fields whose default is None in the configuration's class.
  let nullable: Set<String>
  private var seen: Set<String> = []

  init(component: String, _ object: JSONObject, nullable: Set<String> = []) {
    self.component = component
    self.object = object
    self.nullable = nullable
  }

  /// - Parameter predicate: the problem, as the end of a sentence that begins with the key: "is
  ///   256, which is not supported".
  func failure(_ field: String, _ predicate: String) -> GraphError {
    GraphError(component: component, field: field, message: "\(field) \(predicate)")
  }

  /// The field's value; nil if it is absent, or null and that is the reference's default.
  private mutating func value(_ field: String) -> JSON? {
    seen.insert(field)
    guard let value = object[field], !(value.isNull && nullable.contains(field)) else { return nil }
    return value
  }

  /// An integer within `range`; `fallback` if the field is absent.
  mutating func integer(
    _ field: String, in range: ClosedRange<Int> = 1...65_536, default fallback: Int? = nil
  ) throws(GraphError) -> Int {
    guard let value = value(field) else {
      guard let fallback else { throw failure(field, "is missing") }
      return fallback
    }
    guard let number = value.int, range.contains(number) else {
      throw failure(
        field,
        "is \(value.text(.compact)), not an integer from \(range.lowerBound) to \(range.upperBound)"
      )
    }
    return number
  }

  /// An integer within `range`; nil if the field is absent.
  mutating func optionalInteger(
    _ field: String, in range: ClosedRange<Int> = 1...65_536
  ) throws(GraphError) -> Int? {
    value(field) == nil ? nil : try integer(field, in: range)
  }

  /// One integer for all of `count` levels, or a list of one each.
  mutating func integers(
    _ field: String, count: Int, in range: ClosedRange<Int> = 1...65_536,
    default fallback: Int? = nil
  ) throws(GraphError) -> [Int] {
    guard let elements = object[field]?.array else {
      return [Int](repeating: try integer(field, in: range, default: fallback), count: count)
    }
    let numbers = try self.list(field, in: range)
    guard elements.count == count else {
      throw failure(
        field,
        "has \(elements.count.of("entry", "entries")) where the network has \(count.of("level"))")
    }
    return numbers
  }

  /// A list of integers.
  mutating func list(
    _ field: String, in range: ClosedRange<Int> = 1...65_536, default fallback: [Int]? = nil
  ) throws(GraphError) -> [Int] {
    guard let value = value(field) else {
      guard let fallback else { throw failure(field, "is missing") }
      return fallback
    }
    guard let elements = value.array, !elements.isEmpty, elements.count <= 16 else {
      throw failure(field, "is \(value.text(.compact)), not a list of 1 to 16 integers")
    }
    var numbers: [Int] = []
    for element in elements {
      guard let number = element.int, range.contains(number) else {
        throw failure(
          field,
          "holds \(element.text(.compact)), not an integer from \(range.lowerBound) to \(range.upperBound)"
        )
      }
      numbers.append(number)
    }
    return numbers
  }

  mutating func number(_ field: String, default fallback: Double) throws(GraphError) -> Double {
    guard let value = value(field) else { return fallback }
    guard let number = value.double else {
      throw failure(field, "is \(value.text(.compact)), not a number")
    }
    return number
  }

  mutating func boolean(_ field: String, default fallback: Bool) throws(GraphError) -> Bool {
    guard let value = value(field) else { return fallback }
    if value.isNull { return false }
    guard let flag = value.bool else {
      throw failure(field, "is \(value.text(.compact)), not true or false")
    }
    return flag
  }

  /// True or false for all of `count` levels, or a list of one each.
  mutating func booleans(
    _ field: String, count: Int, default fallback: Bool
  ) throws(GraphError) -> [Bool] {
    guard let value = value(field) else { return [Bool](repeating: fallback, count: count) }
    if let flag = value.bool { return [Bool](repeating: flag, count: count) }
    let flags = value.array?.compactMap(\.bool)
    guard let flags, flags.count == value.array?.count else {
      throw failure(
        field, "is \(value.text(.compact)), not true or false, nor a list of these")
    }
    guard flags.count == count else {
      throw failure(
        field,
        "has \(flags.count.of("entry", "entries")) where the network has \(count.of("level"))")
    }
    return flags
  }

  /// A list of names, each one of `choices`.
  mutating func names(
    _ field: String, of choices: [String], default fallback: [String]? = nil
  ) throws(GraphError) -> [String] {
    guard let value = value(field) else {
      guard let fallback else { throw failure(field, "is missing") }
      return fallback
    }
    guard let elements = value.array, !elements.isEmpty, elements.count <= 16 else {
      throw failure(field, "is \(value.text(.compact)), not a list of 1 to 16 names")
    }
    var names: [String] = []
    for element in elements {
      guard let name = element.string, choices.contains(name) else {
        throw failure(
          field, "holds \(element.text(.compact)); supported: \(choices.joined(separator: ", "))")
      }
      names.append(name)
    }
    return names
  }

  /// One of `choices`.
  mutating func choice(
    _ field: String, of choices: [String], default fallback: String
  ) throws(GraphError) -> String {
    guard let value = value(field) else { return fallback }
    guard let name = value.string, choices.contains(name) else {
      throw failure(
        field, "is \(value.text(.compact)); supported: \(choices.joined(separator: ", "))")
    }
    return name
  }

  /// Rejects the field unless it is absent or `neutral`; null counts as false if that is neutral.
  mutating func require(_ field: String, _ neutral: JSON) throws(GraphError) {
    guard let value = value(field), value != neutral else { return }
    if value.isNull, neutral == .bool(false) { return }
    if let left = value.double, let right = neutral.double, left == right { return }
    throw failure(
      field,
      "is \(value.text(.compact)), which is not supported; supported: \(neutral.text(.compact))")
  }

  /// Marks fields that do not change what the network computes.
  mutating func ignore(_ fields: String...) {
    seen.formUnion(fields)
  }

  /// Rejects unhandled fields, unless they are null, false or private (`_name`).
  func finish() throws(GraphError) {
    for member in object.members where !seen.contains(member.key) && !member.key.hasPrefix("_") {
      if member.value.isNull || member.value == .bool(false) { continue }
      throw failure(
        member.key, "is \(member.value.text(.compact)), a field that is not known here")
    }
  }
}
