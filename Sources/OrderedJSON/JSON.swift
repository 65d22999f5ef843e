/// A JSON value whose objects keep the order of their members.
///
/// Source: RFC 8259. Numbers without fraction or exponent that fit `Int` stay exact.
public enum JSON: Sendable, Hashable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)
}

/// The members of a JSON object, in order, without duplicate keys.
public struct JSONObject: Sendable, Hashable {
  public private(set) var members: [Member] = []
  private var index: [ExactName: Int] = [:]

  public struct Member: Sendable, Hashable {
    public let key: String
    public var value: JSON
  }

  public init() {}

  public init(_ members: KeyValuePairs<String, JSON>) {
    for (key, value) in members { self[key] = value }
  }

  /// Appends a member; returns false without changes if the key exists.
  mutating func append(_ key: String, _ value: JSON) -> Bool {
    if let position = index.updateValue(members.count, forKey: ExactName(key)) {
      index[ExactName(key)] = position
      return false
    }
    members.append(Member(key: key, value: value))
    return true
  }

  public var keys: [String] { members.map(\.key) }

  /// The value of `key`; setting an unknown key appends it, setting nil removes it.
  public subscript(key: String) -> JSON? {
    get { index[ExactName(key)].map { members[$0].value } }
    set {
      switch (index[ExactName(key)], newValue) {
      case (let position?, let value?):
        members[position].value = value
      case (nil, let value?):
        index[ExactName(key)] = members.count
        members.append(Member(key: key, value: value))
      case (let position?, nil):
        members.remove(at: position)
        index = [:]
        for (position, member) in members.enumerated() { index[ExactName(member.key)] = position }
      case (nil, nil):
        break
      }
    }
  }
}

extension JSON {
  /// The member of an object; nil for other values or if missing.
  public subscript(key: String) -> JSON? { object?[key] }

  public var object: JSONObject? {
    if case .object(let value) = self { value } else { nil }
  }
  public var array: [JSON]? {
    if case .array(let value) = self { value } else { nil }
  }
  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }
  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }
  public var int: Int? {
    if case .integer(let value) = self { value } else { nil }
  }
  /// Any number as a double.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
  public var isNull: Bool { self == .null }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  public init(stringLiteral value: String) { self = .string(value) }
  public init(integerLiteral value: Int) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  public init(nilLiteral: ()) { self = .null }
  public init(dictionaryLiteral elements: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, JSON)...) {
    self.init()
    for (key, value) in elements { self[key] = value }
  }
}
