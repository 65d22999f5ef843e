import ModelFormats

/// An ONNX model as data: the contents of the protobuf file, without external weights.
///
/// Source: the ONNX specification (`IR.md`). Contains only what feed-forward networks need: one
/// graph of tensors, no functions, no training information, no sparse tensors.
public struct ONNXModel: Sendable, Hashable {
  /// The file format version.
  public var irVersion: Int
  /// The ONNX opset version.
  public var opset: Int
  public var producerName = ""
  public var producerVersion = ""
  public var graphName: String
  public var inputs: [Value] = []
  public var outputs: [Value] = []
  /// The types of the values between inputs and outputs.
  public var values: [Value] = []
  /// In an order in which values are computed before they are read.
  public var nodes: [Node] = []
  public var initializers: [Initializer] = []

  public init(graphName: String, irVersion: Int, opset: Int) {
    self.graphName = graphName
    self.irVersion = irVersion
    self.opset = opset
  }

  /// The number of nodes per operator.
  public var operatorCounts: [String: Int] {
    nodes.reduce(into: [:]) { counts, node in counts[node.operatorType, default: 0] += 1 }
  }
}

extension ONNXModel {
  /// One operator applied to named values; an empty input name means omitted.
  public struct Node: Sendable, Hashable {
    public var name: String
    public var operatorType: String
    public var inputs: [String]
    public var outputs: [String]
    public var attributes: [Attribute]
  }

  /// A named argument of a node.
  public struct Attribute: Sendable, Hashable {
    public enum Argument: Sendable, Hashable {
      case float(Float)
      case integer(Int)
      case string(String)
      case floats([Float])
      case integers([Int])
    }

    public var name: String
    public var argument: Argument
  }

  /// The element type of a tensor; raw values are the specification's numbers.
  public enum Element: Int32, Sendable, Hashable {
    case float32 = 1
    case uint8 = 2
    case int8 = 3
    case uint16 = 4
    case int16 = 5
    case int32 = 6
    case int64 = 7
    case bool = 9
    case float16 = 10
    case float64 = 11
    case uint32 = 12
    case uint64 = 13
    case bfloat16 = 16

    /// The element type for a checkpoint's `dtype`, if ONNX has one with that layout.
    public init?(_ dtype: DType) {
      switch dtype {
      case .float32: self = .float32
      case .float16: self = .float16
      case .bfloat16: self = .bfloat16
      case .float64: self = .float64
      case .int64: self = .int64
      case .int32: self = .int32
      case .int16: self = .int16
      case .int8: self = .int8
      case .uint64: self = .uint64
      case .uint32: self = .uint32
      case .uint16: self = .uint16
      case .uint8: self = .uint8
      case .bool: self = .bool
      default: return nil
      }
    }

    /// Bytes per element.
    public var size: Int {
      switch self {
      case .bool, .uint8, .int8: 1
      case .uint16, .int16, .float16, .bfloat16: 2
      case .float32, .int32, .uint32: 4
      case .float64, .int64, .uint64: 8
      }
    }
  }

  /// One dimension of a value's shape.
  public enum Extent: Sendable, Hashable {
    case fixed(Int)
    /// Known at run time; equal names mean equal sizes.
    case named(String)
    case unknown
  }

  /// A typed value.
  public struct Value: Sendable, Hashable {
    public var name: String
    public var element: Element
    public var shape: [Extent]
  }

  /// A constant tensor.
  public struct Initializer: Sendable, Hashable {
    public enum Contents: Sendable, Hashable {
      /// Little-endian values in the model file itself.
      case inline([UInt8])
      /// Little-endian values in another file.
      case external(ExternalData)
    }

    public var name: String
    public var element: Element
    public var shape: [Int]
    public var contents: Contents

    public init(name: String, element: Element, shape: [Int], contents: Contents) {
      self.name = name
      self.element = element
      self.shape = shape
      self.contents = contents
    }
  }

  /// The location of an initializer's values in another file.
  public struct ExternalData: Sendable, Hashable {
    /// The file's path relative to the directory of the model file.
    public var location: String
    /// In bytes.
    public var offset: Int
    /// In bytes.
    public var length: Int

    public init(location: String, offset: Int, length: Int) {
      self.location = location
      self.offset = offset
      self.length = length
    }
  }
}
