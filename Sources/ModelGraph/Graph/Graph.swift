/// A network as data: values, the nodes that compute them in execution order, and parameters.
public struct Graph: Sendable {
  /// A value that flows between nodes.
  public struct Value: Sendable, Hashable {
    /// The name of an input or output, or the path of the node that computes it.
    public let name: String
    /// The size of each axis.
    public let shape: [Dimension]
    /// Whether it contains integers (token ids) rather than real numbers.
    public let isInteger: Bool
  }

  /// An index into a graph's values.
  public struct ValueID: Sendable, Hashable {
    /// The position in ``Graph/values``.
    public let index: Int
  }

  /// An index into a graph's parameters.
  public struct ParameterID: Sendable, Hashable {
    /// The position in ``Graph/parameters``.
    public let index: Int
  }

  /// One operation with its inputs, its output and its parameters.
  public struct Node: Sendable, Hashable {
    /// The path of the module, such as `down_blocks.0.resnets.1.conv1`; unique in the graph.
    public let name: String
    /// What it computes.
    public let operation: Operation
    /// The values that it reads.
    public let inputs: [ValueID]
    /// The value that it writes.
    public let output: ValueID
    /// Its weight; nil for operations without.
    public let weight: ParameterID?
    /// Its bias; nil if it has none.
    public let bias: ParameterID?
  }

  /// Which graph it is, as in `unet`.
  public let name: GraphName
  /// What programs that run or export it must know beside its nodes.
  public let traits: GraphTraits
  /// All values: inputs, results of nodes, outputs.
  public internal(set) var values: [Value] = []
  /// The inputs from the caller, in order.
  public internal(set) var inputs: [ValueID] = []
  /// The outputs to the caller, in order.
  public internal(set) var outputs: [ValueID] = []
  /// The nodes, each after those it reads from.
  public internal(set) var nodes: [Node] = []
  /// In execution order.
  public internal(set) var parameters: [Parameter] = []
  /// Tensors that a checkpoint may contain besides the parameters, without effect on the result.
  public internal(set) var buffers: [Parameter] = []

  init(name: GraphName, traits: GraphTraits) {
    self.name = name
    self.traits = traits
  }

  /// The value with this number.
  public subscript(value: ValueID) -> Value { values[value.index] }
  /// The parameter with this number.
  public subscript(parameter: ParameterID) -> Parameter { parameters[parameter.index] }
}

/// A learned tensor of a network and its names.
public struct Parameter: Sendable, Hashable {
  /// The name in the current diffusers and transformers layout, such as `conv_in.weight`.
  public let name: String
  /// Other names in that layout: the VAE's attention of 2022, text encoders without `text_model.`.
  public let aliases: [String]
  /// The prefix of the network's names in a single-file (LDM) checkpoint, including the dot.
  public let singleFilePrefix: String
  /// The name in a single-file checkpoint, after the prefix.
  public let singleFileTail: String
  /// Other names in that layout: text encoders without `text_model.`.
  public let singleFileTailAliases: [String]
  /// The size of each axis.
  public let shape: [Int]
  /// The shape in a single-file checkpoint, where the VAE's attention is a 1x1 convolution.
  public let singleFileShape: [Int]

  /// The name in a single-file checkpoint, including the prefix.
  public var singleFileName: String { singleFilePrefix + singleFileTail }

  /// The product of its axes.
  public var elementCount: Int { shape.reduce(1, *) }

  init(_ path: Path, shape: [Int], singleFileShape: [Int]) {
    name = path.name
    aliases = path.aliases
    singleFilePrefix = path.prefix
    singleFileTail = path.singleFile
    singleFileTailAliases = path.singleFileAliases
    self.shape = shape
    self.singleFileShape = singleFileShape
  }
}

/// Why a configuration does not describe a supported network.
public struct GraphError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The component of the configuration.
  public let component: String
  /// The field of `config.json`, if one is the cause.
  public let field: String?
  /// The problem, as a sentence that begins with the field if there is one.
  public let message: String

  public var description: String { "\(component)/config.json: \(message)" }
}
