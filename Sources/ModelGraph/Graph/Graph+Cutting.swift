/// Parts of a graph as separate graphs, for values that are kept between runs.
extension Graph {
  /// The graph with one more output, the value that the node reads first.
  ///
  /// - Parameters:
  ///   - node: the name of the node, such as `up_blocks.3.resnets.2.concatenate`.
  ///   - output: the name of the output.
  /// - Returns: nil if there is no such node, or it reads an input or output of the graph.
  public func giving(inputOf node: String, as output: String) -> Graph? {
    guard let value = innerValue(readBy: node) else { return nil }
    var graph = self
    graph.values[value.index] = Value(
      name: output, shape: self[value].shape, isInteger: self[value].isInteger)
    graph.outputs.append(value)
    return graph
  }

  /// The rest of the graph if the value that the node reads first is given: the nodes, inputs and
  /// parameters that the outputs need.
  ///
  /// - Returns: nil if there is no such node, or it reads an input or output of the graph.
  public func taking(inputOf node: String, as input: String) -> Graph? {
    guard let value = innerValue(readBy: node) else { return nil }
    var needed = Set(outputs)
    var kept: [Node] = []
    for node in nodes.reversed() where needed.contains(node.output) && node.output != value {
      kept.append(node)
      needed.formUnion(node.inputs)
    }
    var graph = Graph(name: name, traits: traits)
    var ids: [ValueID: ValueID] = [:]
    func id(of value: ValueID, as name: String? = nil) -> ValueID {
      if let id = ids[value] { return id }
      let id = ValueID(index: graph.values.count)
      graph.values.append(
        Value(
          name: name ?? self[value].name, shape: self[value].shape, isInteger: self[value].isInteger
        ))
      ids[value] = id
      return id
    }
    var parameters: [ParameterID: ParameterID] = [:]
    func parameter(_ old: ParameterID?) -> ParameterID? {
      guard let old else { return nil }
      if let known = parameters[old] { return known }
      let new = ParameterID(index: graph.parameters.count)
      graph.parameters.append(self[old])
      parameters[old] = new
      return new
    }
    graph.inputs = inputs.filter(needed.contains).map { id(of: $0) } + [id(of: value, as: input)]
    for node in kept.reversed() {
      let read = node.inputs.map { id(of: $0) }
      let written = id(of: node.output)
      graph.nodes.append(
        Node(
          name: node.name, operation: node.operation, inputs: read, output: written,
          weight: parameter(node.weight), bias: parameter(node.bias)))
    }
    graph.outputs = outputs.map { id(of: $0) }
    return graph
  }

  private func innerValue(readBy node: String) -> ValueID? {
    guard let value = nodes.first(where: { $0.name == node })?.inputs.first,
      !inputs.contains(value), !outputs.contains(value)
    else { return nil }
    return value
  }
}
