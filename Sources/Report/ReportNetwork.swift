import ModelGraph
import OrderedJSON

/// A graph for the report page.
struct ReportNetwork {
  let graph: Graph
  let component: Int
  /// Table rows by parameter name.
  let tensors: [ExactName: Int]
  let sizes: Sizes

  init(_ graph: Graph, component: Int, tensors: [ExactName: Int], sizes: Sizes) {
    self.graph = graph
    self.component = component
    self.tensors = tensors
    self.sizes = sizes
  }

  /// `inputs` are `[name, shape]`, `outputs` `[name, source]` and `nodes`
  /// `[name, kind, sources, shape, parameters, MACs, rows of weight and bias, attributes]`; a source
  /// is a node's position, or `-1 - position` of an input.
  var json: JSON {
    var sources: [Graph.ValueID: Int] = [:]
    for (position, input) in graph.inputs.enumerated() { sources[input] = -1 - position }
    for (position, node) in graph.nodes.enumerated() { sources[node.output] = position }
    let costs = graph.costs(sizes)
    return [
      "name": .string(graph.name.rawValue), "component": .integer(component),
      "inputs": .array(graph.inputs.map { [.string(graph[$0].name), shape($0)] }),
      "outputs": .array(
        graph.outputs.map { [.string(graph[$0].name), .integer(sources[$0] ?? -1)] }),
      "nodes": .array(
        graph.nodes.enumerated().map { position, node in
          [
            .string(node.name), .string(node.operation.kind),
            .array(node.inputs.map { .integer(sources[$0] ?? -1) }), shape(node.output),
            .integer(costs[position].parameters), .integer(costs[position].macs),
            .array(
              [node.weight, node.bias].compactMap { $0 }.compactMap { parameter in
                tensors[ExactName(graph[parameter].name)].map { .integer($0) }
              }),
            .string(ReportNetwork.attributes(node.operation)),
          ]
        }),
    ]
  }

  private func shape(_ value: Graph.ValueID) -> JSON {
    .array(graph.shape(value, sizes).map { .integer($0) })
  }

  /// The settings of an operation, such as `3×3, stride 2`.
  static func attributes(_ operation: Operation) -> String {
    switch operation {
    case .convolution(let form):
      let stride = form.stride == 1 ? "" : ", stride \(form.stride)"
      return "\(form.kernel)×\(form.kernel)\(stride), \(form.inputChannels) → "
        + "\(form.outputChannels.of("channel"))"
    case .groupNorm(let form):
      return "\(form.groups) groups, ε \(form.epsilon)" + (form.silu ? ", then SiLU" : "")
    case .layerNorm(let epsilon): return "ε \(epsilon)"
    case .attention(let form): return "\(form.heads.of("head"))" + (form.causal ? ", causal" : "")
    case .timestepEmbedding(let form): return "\(form.channels.of("channel"))"
    case .linear, .activation, .geglu, .add, .addPerChannel, .concatenate, .upsampleNearest,
      .embedding, .addPositions, .imageToTokens, .tokensToImage, .prependToken, .firstToken,
      .matchTokens, .mergeTokens, .unmergeTokens:
      return ""
    }
  }
}
