/// What one layer costs at given sizes.
public struct LayerCost: Sendable, Hashable {
  /// The node's path.
  public let name: String
  public let kind: String
  public let outputShape: [Int]
  /// Elements of weight and bias.
  public let parameters: Int
  /// Multiply-accumulate operations of matrix products; elementwise work is not counted.
  public let macs: Int
  /// Bytes of the output as float32.
  public let activationBytes: Int
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
        macs: macs(node, sizes), activationBytes: 4 * output.reduce(1, *))
    }
  }

  /// The shape of a value at given sizes.
  public func shape(_ value: ValueID, _ sizes: Sizes) -> [Int] {
    self[value].shape.map { $0.value(sizes) }
  }

  private func macs(_ node: Node, _ sizes: Sizes) -> Int {
    let elements = shape(node.output, sizes).reduce(1, *)
    switch node.operation {
    case .convolution(let form):
      return elements * form.inputChannels * form.kernel * form.kernel
    case .linear:
      return elements * (shape(node.inputs[0], sizes).last ?? 0)
    case .attention:
      // Scores and weighted sum, each queries x keys x channels.
      return 2 * elements * shape(node.inputs[1], sizes)[1]
    default:
      return 0
    }
  }
}
