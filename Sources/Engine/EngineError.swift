import ModelFormats

/// Why a graph cannot be run: what is wrong, and at which node, input or parameter.
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
    /// oneDNN or ONNX Runtime rejected an operation.
    case library
    /// A model's file is missing or damaged.
    case model
    /// The folder for compiled engines cannot be created or written.
    case cache
    /// A library that the engine loads is not installed, or not one that it can use.
    case missing
  }

  /// The kind of failure.
  public let code: Code
  /// What is wrong, as a sentence without a full stop.
  public let message: String
  /// The graph, and the node, input or parameter in it.
  public let context: String
  /// What to do about it, if anything is known.
  public let hint: Remedy?

  public init(_ code: Code, _ message: String, context: String, hint: Remedy? = nil) {
    self.code = code
    self.message = message
    self.context = context
    self.hint = hint
  }
}

extension EngineError: CustomStringConvertible {
  /// `unet: conv_in: the input's shape is [1, 3, 64, 64], not [1, 4, 64, 64]`
  public var description: String { "\(context): \(message)" }
}
