import ModelFormats

/// Why an image was not generated although the model is valid.
public struct GenerationError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kind of failure.
  public enum Code: String, Sendable, Hashable {
    /// The request is invalid for this model.
    case request
    /// A network's output contains infinity or NaN.
    case notFinite = "not-finite"
  }

  /// The kind of failure.
  public let code: Code
  /// What is wrong, as a sentence without a full stop.
  public let message: String
  /// What would help; nil if nothing is known to.
  public let hint: Remedy?

  package init(_ code: Code, _ message: String, hint: Remedy? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  public var description: String { message }
}
