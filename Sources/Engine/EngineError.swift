/// An error from preparing or running a graph, with its node, input or parameter.
public struct EngineError: Error, Sendable, Hashable {
  /// The kind of failure.
  public enum Code: String, Sendable, Hashable, CaseIterable {
    /// An input is missing, has the wrong shape, or contains an invalid value.
    case input
    /// A parameter's tensor has the wrong shape or is not floating-point.
    case parameter
    /// The engine or this CPU does not support something in the graph.
    case unsupported
    /// Memory could not be allocated.
    case memory
    /// oneDNN rejected an operation.
    case library
  }

  /// The kind of failure.
  public let code: Code
  /// What is wrong, as a sentence without a full stop.
  public let message: String
  /// The graph, and the node, input or parameter in it.
  public let context: String

  public init(_ code: Code, _ message: String, context: String) {
    self.code = code
    self.message = message
    self.context = context
  }
}

extension EngineError: CustomStringConvertible {
  /// `unet: conv_in: the input's shape is [1, 3, 64, 64], not [1, 4, 64, 64]`
  public var description: String { "\(context): \(message)" }
}
