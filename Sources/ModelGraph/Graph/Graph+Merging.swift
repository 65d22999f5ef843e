extension Graph {
  /// The graph with tokens merged before the self-attention of the highest resolution, and the
  /// result distributed to all of them.
  ///
  /// The cost of attention is quadratic in the number of tokens, and neighbors are often similar.
  /// Source: Bolya and Hoffman, "Token Merging for Fast Stable Diffusion" (2023): tokens are
  /// compared at the input of the transformer block and merged after its norm. Unlike there,
  /// destinations are chosen by the timestep, so they change from step to step and are the same for
  /// every seed.
  ///
  /// - Parameter thousandths: thousandths of the tokens to merge, 1 to 750.
  /// - Returns: nil if there is no self-attention at the highest resolution.
  public func mergingTokens(thousandths: Int) -> Graph? {
    let tokens = Dimension.symbol(.height) * Dimension.symbol(.width)
    guard let timestep = inputs.first(where: { self[$0].name == "timestep" }) else { return nil }
    let blocks = nodes.indices.compactMap { selfAttention(at: $0, of: tokens) }
    guard !blocks.isEmpty else { return nil }
    var graph = self
    let left = tokens.merging(thousandths: thousandths)
    func value(_ name: String, _ shape: [Dimension], isInteger: Bool = false) -> ValueID {
      graph.values.append(Value(name: name, shape: shape, isInteger: isInteger))
      return ValueID(index: graph.values.count - 1)
    }
    var before: [Int: [Node]] = [:]
    var changed: [Int: Node] = [:]
    for block in blocks {
      let name = nodes[block.attention].name
      let shape = self[block.norm].shape
      let places = value(name + ".match", [shape[0], shape[1]], isInteger: true)
      let merged = value(name + ".merge", [shape[0], left, shape[2]])
      let form = TokenMatching(height: .symbol(.height), width: .symbol(.width), left: left)
      before[block.projections.min() ?? block.attention] = [
        Node(
          name: name + ".match", operation: .matchTokens(form), inputs: [block.input, timestep],
          output: places, weight: nil, bias: nil),
        Node(
          name: name + ".merge", operation: .mergeTokens, inputs: [block.norm, places],
          output: merged, weight: nil, bias: nil),
      ]
      for index in block.projections { changed[index] = nodes[index].reading([merged]) }
      let sum = nodes[block.sum]
      changed[block.sum] = Node(
        name: name + ".unmerge", operation: .unmergeTokens,
        inputs: [nodes[block.projection].output, block.residual, places], output: sum.output,
        weight: nil, bias: nil)
      for index in block.projections + [block.attention, block.projection] {
        let output = nodes[index].output
        let known = self[output]
        graph.values[output.index] = Value(
          name: known.name, shape: [known.shape[0], left, known.shape[2]], isInteger: false)
      }
    }
    graph.nodes = nodes.indices.flatMap { (before[$0] ?? []) + [changed[$0] ?? nodes[$0]] }
    return graph
  }

  /// A self-attention block, by the indices of its nodes.
  private struct SelfAttention {
    /// The block's input, and the output of its norm.
    let input: ValueID
    let norm: ValueID
    /// The projections of queries, keys and values.
    let projections: [Int]
    let attention: Int
    /// The output projection, and the sum with the block's input.
    let projection: Int
    let sum: Int
    let residual: ValueID
  }

  private func selfAttention(at index: Int, of tokens: Dimension) -> SelfAttention? {
    guard case .attention = nodes[index].operation, self[nodes[index].output].shape[1] == tokens
    else { return nil }
    func producer(_ value: ValueID) -> Int? { nodes.firstIndex { $0.output == value } }
    func onlyReader(_ value: ValueID) -> Int? {
      let readers = nodes.indices.filter { nodes[$0].inputs.contains(value) }
      return readers.count == 1 && !outputs.contains(value) ? readers[0] : nil
    }
    let projections = nodes[index].inputs.compactMap(producer)
    guard projections.count == 3, let norm = nodes[projections[0]].inputs.first,
      projections.allSatisfy({
        nodes[$0].operation == .linear && nodes[$0].inputs == [norm]
          && onlyReader(nodes[$0].output) == index
      }),
      let normalization = producer(norm),
      case .layerNorm = nodes[normalization].operation,
      let projection = onlyReader(nodes[index].output), nodes[projection].operation == .linear,
      let sum = onlyReader(nodes[projection].output), nodes[sum].operation == .add,
      let residual = nodes[sum].inputs.first(where: { $0 != nodes[projection].output })
    else { return nil }
    return SelfAttention(
      input: nodes[normalization].inputs[0], norm: norm, projections: projections,
      attention: index, projection: projection, sum: sum, residual: residual)
  }
}

extension Graph.Node {
  /// A copy of the node with other inputs.
  fileprivate func reading(_ inputs: [Graph.ValueID]) -> Graph.Node {
    Graph.Node(
      name: name, operation: operation, inputs: inputs, output: output, weight: weight, bias: bias)
  }
}
