/// Why a job cannot be drawn as it stands: a field and its value, or fields that do not go
/// together.
public struct JobError: Error, Sendable, Hashable {
  /// What is wrong, for a program.
  public enum Reason: String, Sendable, Hashable {
    /// No field has this name.
    case unknownField = "unknown-field"
    /// The value is of another kind, as a text in place of true or false.
    case kind
    /// The value is outside what the field allows.
    case range
    /// A text with a zero character.
    case zeroCharacter = "zero-character"
    /// A number too large to be one.
    case infinite
    /// Fields that exclude or need each other.
    case combination
  }

  /// What is wrong, for a program.
  public let reason: Reason
  /// The name of the field that is to be changed.
  public let field: String
  /// Its value as text; nil if it is missing.
  public let got: String?
  /// What it allows, as `a whole number from 1 to 1000`; nil if other fields decide.
  public let allowed: String?
  /// The whole, in one sentence.
  public let message: JobText

  init(
    _ reason: Reason, _ field: String, got: String? = nil, allowed: String? = nil,
    _ message: JobText
  ) {
    self.reason = reason
    self.field = field
    self.got = got
    self.allowed = allowed
    self.message = message
  }

  /// An error of a combination of fields.
  static func combination(
    _ field: String, got: String? = nil, allowed: String? = nil, _ message: JobText
  ) -> JobError {
    JobError(.combination, field, got: got, allowed: allowed, message)
  }
}
