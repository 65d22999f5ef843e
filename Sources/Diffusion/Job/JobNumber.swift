import OrderedJSON

/// A number of a job that remembers whether a whole one was written with a fraction, 4.0 or 4, so
/// that a record that is read and written again stays the same text.
public struct JobNumber: Sendable, Hashable, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral,
  CustomStringConvertible
{
  /// The number.
  public let value: Double
  private let isInteger: Bool

  public init(_ value: Double) { self.init(value, isInteger: false) }

  public init(floatLiteral value: Double) { self.init(value) }

  public init(integerLiteral value: Int) { self.init(Double(value), isInteger: true) }

  private init(_ value: Double, isInteger: Bool) {
    self.value = value
    self.isInteger = isInteger
  }

  /// The number that a word is; nil for any other word.
  public init?(_ word: String) {
    guard let value = Double(word) else { return nil }
    self.init(value, isInteger: Int(word).map(String.init) == word && abs(value) < 1e15)
  }

  public var description: String { isInteger ? String(Int(value)) : "\(value)" }

  /// 4 and 4.0 are one number.
  public static func == (first: JobNumber, second: JobNumber) -> Bool {
    first.value == second.value
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}

extension JobNumber: JobValue {
  init?(json: JSON) {
    switch json {
    case .integer(let value): self.init(String(value))
    case .number(let value): self.init(value)
    default: return nil
    }
  }

  func json(numbers isNumber: Bool) -> JSON {
    isInteger ? .integer(Int(value)) : .number(value)
  }
}
