/// Why a job is rejected: a field and its value, or a combination of fields.
public struct JobError: Error, Sendable, Hashable {
  /// What is wrong, for a program.
  public enum Reason: String, Sendable, Hashable {
    /// No field has this name.
    case unknownField = "unknown-field"
    /// The value has the wrong type, such as text instead of true or false.
    case kind
    /// The value is outside what the field allows.
    case range
    /// Text with a NUL character.
    case zeroCharacter = "zero-character"
    /// A number that is too large.
    case infinite
    /// Fields that exclude or need each other.
    case combination
  }

  /// What is wrong, for a program.
  public let reason: Reason
  /// The name of the field to change.
  public let field: String
  /// Its value as text; nil if it is missing.
  public let got: String?
  /// What it allows, such as `a whole number from 1 to 1000`; nil if it depends on other fields.
  public let allowed: String?
  /// The whole message, in one sentence.
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
