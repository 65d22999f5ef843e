/// The cost of one layer at given sizes.
public struct LayerCost: Sendable, Hashable {
  /// The node's path.
  public let name: String
  /// The operation's name in listings.
  public let kind: String
  /// The size of each axis of the result.
  public let outputShape: [Int]
  /// Elements of weight and bias.
  public let parameters: Int
  /// Multiply-accumulate operations of matmuls; elementwise work is not counted.
  public let macs: Int
  /// Bytes of the output as float32.
  public let activationBytes: Int
  /// For an attention: whether a token attends only to itself and those before it. Otherwise nil.
  public let isCausal: Bool?

  init(
    name: String, kind: String, outputShape: [Int], parameters: Int, macs: Int,
    activationBytes: Int, isCausal: Bool? = nil
  ) {
    self.name = name
    self.kind = kind
    self.outputShape = outputShape
    self.parameters = parameters
    self.macs = macs
    self.activationBytes = activationBytes
    self.isCausal = isCausal
  }
}

extension Graph {
  /// The costs of every node, in execution order.
  public func costs(_ sizes: Sizes) -> [LayerCost] {
    nodes.map { node in
      let output = shape(node.output, sizes)
      return LayerCost(
        name: node.name, kind: node.operation.kind, outputShape: output,
        parameters: [node.weight, node.bias].compactMap { $0 }
          .reduce(0) { $0 + self[$1].elementCount },
        macs: macs(node, sizes), activationBytes: output.reduce(4) { $0.saturatingTimes($1) },
        isCausal: node.operation.isCausal)
    }
  }

  /// The shape of a value at given sizes.
  public func shape(_ value: ValueID, _ sizes: Sizes) -> [Int] {
    self[value].shape.map { $0.value(sizes) }
  }

  private func macs(_ node: Node, _ sizes: Sizes) -> Int {
    let elements = shape(node.output, sizes).reduce(1) { $0.saturatingTimes($1) }
    switch node.operation {
    case .convolution(let form):
      return elements.saturatingTimes(form.inputChannels * form.kernel * form.kernel)
    case .linear:
      return elements.saturatingTimes(shape(node.inputs[0], sizes).last ?? 0)
    case .attention:
      // Scores and weighted sum, each queries x keys x channels.
      return elements.saturatingTimes(shape(node.inputs[1], sizes)[1]).saturatingTimes(2)
    case .matchTokens(let form):
      // Every token that is not a destination with every destination, one in each window of 2x2.
      let windows = (form.height.value(sizes) + 1) / 2 * ((form.width.value(sizes) + 1) / 2)
      let channels = shape(node.inputs[0], sizes).last ?? 0
      return (elements - shape(node.output, sizes)[0] * windows).saturatingTimes(windows)
        .saturatingTimes(channels)
    default:
      return 0
    }
  }
}

extension Operation {
  /// For an attention: whether it is masked. Otherwise nil.
  fileprivate var isCausal: Bool? {
    if case .attention(let form) = self { form.causal } else { nil }
  }
}

extension LayerCost {
  /// The sum of the costs of several layers, with the name, kind and output shape of the last.
  public static func + (left: LayerCost, right: LayerCost) -> LayerCost {
    LayerCost(
      name: right.name, kind: right.kind, outputShape: right.outputShape,
      parameters: left.parameters.saturatingPlus(right.parameters),
      macs: left.macs.saturatingPlus(right.macs),
      activationBytes: left.activationBytes.saturatingPlus(right.activationBytes))
  }

  /// The total of a network.
  public static func total(_ costs: [LayerCost]) -> LayerCost {
    let none = LayerCost(
      name: "total", kind: "", outputShape: [], parameters: 0, macs: 0, activationBytes: 0)
    let sum = costs.reduce(none, +)
    return LayerCost(
      name: none.name, kind: none.kind, outputShape: none.outputShape, parameters: sum.parameters,
      macs: sum.macs, activationBytes: sum.activationBytes)
  }
}

/// A configuration may describe networks of any size; costs beyond `Int` saturate.
extension Int {
  fileprivate func saturatingTimes(_ other: Int) -> Int {
    let (product, overflow) = multipliedReportingOverflow(by: other)
    return overflow ? .max : product
  }

  fileprivate func saturatingPlus(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? .max : sum
  }
}
