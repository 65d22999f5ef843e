import ModelFormats

/// An ONNX model as data: the contents of the protobuf file, without external weights.
///
/// Source: the ONNX specification (`IR.md`). Only what feed-forward networks need: one graph of
/// tensors, no functions, no training information, no sparse tensors.
package struct ONNXModel: Sendable, Hashable {
  /// The version of the file format's rules.
  package var irVersion: Int
  /// The version of ONNX's own operator set.
  package var opset: Int
  package var producerName = ""
  package var producerVersion = ""
  package var graphName: String
  package var inputs: [Value] = []
  package var outputs: [Value] = []
  /// The types of the values between inputs and outputs.
  package var values: [Value] = []
  /// In an order in which every value is computed before it is read.
  package var nodes: [Node] = []
  package var initializers: [Initializer] = []

  package init(graphName: String, irVersion: Int, opset: Int) {
    self.graphName = graphName
    self.irVersion = irVersion
    self.opset = opset
  }

  /// How many nodes there are of each operator.
  package var operatorCounts: [String: Int] {
    nodes.reduce(into: [:]) { counts, node in counts[node.operatorType, default: 0] += 1 }
  }
}

extension ONNXModel {
  /// One operator applied to named values; an empty input name stands for one left out.
  package struct Node: Sendable, Hashable {
    package var name: String
    package var operatorType: String
    package var inputs: [String]
    package var outputs: [String]
    package var attributes: [Attribute]
  }

  /// A named argument of a node.
  package struct Attribute: Sendable, Hashable {
    package enum Argument: Sendable, Hashable {
      case float(Float)
      case integer(Int)
      case string(String)
      case floats([Float])
      case integers([Int])
    }

    package var name: String
    package var argument: Argument
  }

  /// The type of a tensor's elements; raw values are the specification's numbers.
  package enum Element: Int32, Sendable, Hashable {
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

    /// The type that holds a checkpoint's `dtype`, if ONNX has one of that layout.
    package init?(_ dtype: DType) {
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

    /// Bytes that one element takes.
    package var size: Int {
      switch self {
      case .bool, .uint8, .int8: 1
      case .uint16, .int16, .float16, .bfloat16: 2
      case .float32, .int32, .uint32: 4
      case .float64, .int64, .uint64: 8
      }
    }
  }

  /// One dimension of a value's shape.
  package enum Extent: Sendable, Hashable {
    case fixed(Int)
    /// Known at run time; equal names mean equal sizes.
    case named(String)
    case unknown
  }

  /// A typed value.
  package struct Value: Sendable, Hashable {
    package var name: String
    package var element: Element
    package var shape: [Extent]
  }

  /// A constant tensor.
  package struct Initializer: Sendable, Hashable {
    package enum Contents: Sendable, Hashable {
      /// Little-endian values in the model file itself.
      case inline([UInt8])
      /// Little-endian values in another file.
      case external(ExternalData)
    }

    package var name: String
    package var element: Element
    package var shape: [Int]
    package var contents: Contents

    package init(name: String, element: Element, shape: [Int], contents: Contents) {
      self.name = name
      self.element = element
      self.shape = shape
      self.contents = contents
    }
  }

  /// Where in another file an initializer's values lie.
  package struct ExternalData: Sendable, Hashable {
    /// The file's path relative to the directory of the model file.
    package var location: String
    /// In bytes.
    package var offset: Int
    /// In bytes.
    package var length: Int

    package init(location: String, offset: Int, length: Int) {
      self.location = location
      self.offset = offset
      self.length = length
    }
  }
}
