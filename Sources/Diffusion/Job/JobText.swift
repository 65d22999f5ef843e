/// A text about fields of a job: whoever shows it spells the fields' names, as flags or as JSON keys.
public struct JobText: Sendable, Hashable, ExpressibleByStringInterpolation {
  /// A stretch of the text.
  public enum Part: Sendable, Hashable {
    case text(String)
    /// The name of a field.
    case field(String)
    /// What the field that the text belongs to allows.
    case range
  }

  /// Its stretches, in order.
  public var parts: [Part]

  public init(stringLiteral value: String) { parts = [.text(value)] }

  public init(stringInterpolation: StringInterpolation) { parts = stringInterpolation.parts }

  /// The text, with the names of fields as `spelling` has them.
  public func text(range: String = "", spelling: (String) -> String) -> String {
    parts.map { part in
      switch part {
      case .text(let text): text
      case .field(let name): spelling(name)
      case .range: range
      }
    }.joined()
  }

  /// The fields that it names.
  public var fields: [String] {
    parts.compactMap { if case .field(let name) = $0 { name } else { nil } }
  }

  /// Collects the parts of a text from a string literal.
  public struct StringInterpolation: StringInterpolationProtocol {
    var parts: [Part] = []

    public init(literalCapacity: Int, interpolationCount: Int) {}

    /// Adds words.
    public mutating func appendLiteral(_ literal: String) {
      if !literal.isEmpty { parts.append(.text(literal)) }
    }

    /// Adds a value as text.
    public mutating func appendInterpolation(_ value: some CustomStringConvertible) {
      parts.append(.text(value.description))
    }

    /// Adds the name of a field.
    public mutating func appendInterpolation(field name: String) { parts.append(.field(name)) }

    /// Adds a part.
    public mutating func appendInterpolation(part: Part) { parts.append(part) }
  }
}
