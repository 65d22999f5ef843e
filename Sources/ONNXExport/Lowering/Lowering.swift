import ModelFormats
import ModelGraph

/// Lowers a network's graph to an ONNX model, node by node.
///
/// Tokens are the rows of one matrix for the whole batch: the graph's `[batch, tokens, channels]`
/// is `[batch * tokens, channels]` here, so a linear layer is one Gemm with the checkpoint's
/// `[out, in]` weight.
///
/// Constant shapes copy (0) or infer (-1) sizes known only at run time, so nodes that compute
/// shapes are needed only to restore flattened sizes: one Shape node per resolution.
struct Lowering {
  typealias Value = ONNXGraphBuilder.Value

  let graph: Graph
  let options: ExportOptions
  let interface: Interface
  /// The compute dtype of the network.
  let real: ONNXModel.Element
  var build: ONNXGraphBuilder
  /// The ONNX value of each graph value.
  private var values: [Value?]
  /// The initializers of the graph's parameters.
  private var parameters: [Value]
  /// Parameters that were cast or reshaped.
  private var prepared: [Int: Value] = [:]
  /// The first image of each height and width.
  var pictures: [[Dimension]: Value] = [:]
  /// The size of the first image that became tokens.
  var firstTokenSize: [Dimension]?
  /// Sizes measured at run time, and shapes derived from them.
  var measures = Measures()
  var causalMasks: [Dimension: Value] = [:]
  /// Rank 3 values as matrices.
  private var matrices: [String: Value] = [:]
  /// Factors of linear layers, by their output value.
  private var factors: [Graph.ValueID: Float] = [:]

  /// - Parameter weights: an initializer per parameter of the graph, in order.
  init(
    _ graph: Graph, weights: [ONNXModel.Initializer], interface: Interface,
    options: ExportOptions
  ) throws(FormatError) {
    precondition(weights.count == graph.parameters.count, "one initializer for each parameter")
    let graph = try options.fixed(graph, interface)
    self.graph = graph
    self.options = options
    self.interface = interface
    real = options.precision(of: graph).element
    build = ONNXGraphBuilder(
      graphName: graph.name.rawValue, opset: options.opset,
      dimensionNames: DimensionNames(graph, interface))
    values = Array(repeating: nil, count: graph.values.count)
    parameters = []
    var seen: [String: Value] = [:]
    for weight in weights {
      let value = seen[weight.name] ?? build.weight(weight)
      seen[weight.name] = value
      parameters.append(value)
    }
    for input in graph.inputs {
      values[input.index] = self.input(graph[input])
      remember(input)
    }
    findFactors()
  }

  /// Queries are scaled in their projection if nothing else reads them.
  private mutating func findFactors() {
    let linear = Set(graph.nodes.filter { $0.operation == .linear }.map(\.output))
    let readers = graph.nodes.flatMap(\.inputs) + graph.outputs
    let counts = Dictionary(readers.map { ($0, 1) }, uniquingKeysWith: +)
    for node in graph.nodes {
      guard case .attention(let form) = node.operation, let query = node.inputs.first,
        !hasKernel(form, graph[query].shape), linear.contains(query), counts[query] == 1
      else { continue }
      factors[query] = Float(form.scale)
    }
  }

  /// The output factor of the linear layer that computes `id`.
  func factor(_ id: Graph.ValueID) -> Float { factors[id] ?? 1 }

  private mutating func input(_ value: Graph.Value) -> Value {
    let element: ONNXModel.Element =
      value.name == "timestep" ? .float32 : value.isInteger ? interface.ids : real
    return build.input(
      interface.name(value.name), interface.shape(of: value, in: graph), element: element)
  }

  /// Lowers all nodes and names the outputs.
  ///
  /// - Parameter endOfText: how the text encoder's pooled output finds its token.
  mutating func run(pooling endOfText: EndOfText?) throws(FormatError) -> ONNXModel {
    for node in graph.nodes {
      values[node.output.index] = try lower(node, at: ONNXGraphBuilder.module(node.name))
      remember(node.output)
    }
    for output in graph.outputs {
      var value = try value(output)
      if value.shape.count < graph[output].shape.count {
        value = try sequences(value, graph[output].shape, at: "/" + graph[output].name)
        values[output.index] = value
      }
      build.output(
        interface.name(graph[output].name), interface.givesMeans ? means(of: value) : value)
    }
    if let endOfText, interface.hasPooledOutput {
      try pool(endOfText)
    }
    return build.model
  }

  /// The first half of the channels of `moments`.
  private mutating func means(of moments: Value) -> Value {
    let channels = (moments.shape[1].fixed ?? 0) / 2
    let shape = [moments.shape[0], Dimension(channels)] + moments.shape[2...]
    return build.node(
      "Slice", at: "/latent_distribution",
      [moments, build.constant([0]), build.constant([channels]), build.constant([1])], shape)
  }

  private mutating func remember(_ id: Graph.ValueID) {
    guard let value = values[id.index], value.shape.count == 4 else { return }
    let size = Array(value.shape[2...])
    if pictures[size] == nil { pictures[size] = value }
  }

  func value(_ id: Graph.ValueID) throws(FormatError) -> Value {
    guard let value = values[id.index] else {
      throw FormatError(
        .unsupported, "the graph reads \(graph[id].name) before it is computed",
        context: graph.name.rawValue)
    }
    return value
  }

  /// Tokens as a matrix; other values unchanged.
  private mutating func matrix(_ tokens: Value) -> Value {
    guard tokens.shape.count == 3 else { return tokens }
    if let matrix = matrices[tokens.name] { return matrix }
    // The input's own name, or the module of the node that computes it.
    let module =
      tokens.name.first == "/"
      ? String(tokens.name[..<(tokens.name.lastIndex(of: "/") ?? tokens.name.endIndex)])
      : "/" + tokens.name
    let matrix = build.node(
      "Reshape", at: module, [tokens, build.constant([-1, tokens.shape[2].fixed ?? 0])],
      [tokens.shape[0] * tokens.shape[1], tokens.shape[2]])
    matrices[tokens.name] = matrix
    return matrix
  }

  /// A parameter in the form that operators need: the network's dtype and the graph's shape.
  mutating func parameter(
    _ id: Graph.ParameterID?, at module: String
  ) throws(FormatError) -> Value {
    guard let id else {
      throw FormatError(.unsupported, "a layer lacks its weight", context: module)
    }
    if let value = prepared[id.index] { return value }
    var value = parameters[id.index]
    value = cast(value, to: real, at: module)
    let shape = graph[id].shape
    if value.shape.map(\.fixed) != shape {
      value = build.node(
        "Reshape", at: module, [value, build.constant(shape)], shape.map { Dimension($0) })
    }
    prepared[id.index] = value
    return value
  }

  mutating func cast(
    _ input: Value, to element: ONNXModel.Element, at module: String
  ) -> Value {
    guard input.element != element else { return input }
    return build.node(
      "Cast", at: module, [input], input.shape, element: element,
      ["to": .integer(Int(element.rawValue))])
  }

  private mutating func lower(_ node: Graph.Node, at module: String) throws(FormatError) -> Value {
    var inputs: [Value] = []
    for input in node.inputs {
      let value = try value(input)
      inputs.append(node.operation == .addPositions ? value : matrix(value))
    }
    let input = inputs[0]
    let shape = graph[node.output].shape
    switch node.operation {
    case .convolution(let form):
      return try convolution(input, form, node, shape, at: module)
    case .linear:
      // One row per input row: tokens, or timesteps for a batch that the graph does not have.
      return try linear(input, node, input.shape.dropLast() + shape.suffix(1), at: module)
    case .groupNorm(let form):
      return try groupNorm(input, form, node, at: module)
    case .layerNorm(let epsilon):
      let weight = try parameter(node.weight, at: module)
      let bias = try parameter(node.bias, at: module)
      return build.node(
        "LayerNormalization", at: module, [input, weight, bias], input.shape,
        ["axis": .integer(-1), "epsilon": .float(Float(epsilon))])
    case .attention(let form):
      return try attention(inputs, node, form, at: module)
    case .activation(let function):
      return activation(input, function, at: module)
    case .geglu:
      return geglu(input, at: module)
    case .add:
      return build.node("Add", at: module, inputs, input.shape)
    case .addPerChannel:
      let axes = build.constant([2, 3])
      let vector = build.node(
        "Unsqueeze", at: module, [inputs[1], axes], inputs[1].shape + [1, 1])
      return build.node("Add", at: module, [input, vector], shape)
    case .concatenate:
      return build.node("Concat", at: module, inputs, shape, ["axis": .integer(1)])
    case .upsampleNearest:
      return try upsample(input, to: shape, at: module)
    case .embedding:
      let table = try parameter(node.weight, at: module)
      return build.node(
        "Gather", at: module, [table, input], shape, ["axis": .integer(0)])
    case .addPositions:
      return try addPositions(input, node, shape, at: module)
    case .timestepEmbedding(let form):
      return try timestepEmbedding(input, form, shape, at: module)
    case .imageToTokens:
      return imageToTokens(input, at: module)
    case .tokensToImage:
      return try tokensToImage(input, shape, at: module)
    case .prependToken:
      let tokens = try sequences(input, graph[node.inputs[0]].shape, at: module)
      return try prependToken(tokens, node, shape, at: module)
    case .firstToken:
      let tokens = try sequences(input, graph[node.inputs[0]].shape, at: module)
      return build.node(
        "Gather", at: module, [tokens, build.constant(scalar: 0)], shape, ["axis": .integer(1)])
    case .matchTokens, .mergeTokens, .unmergeTokens:
      // Only the engine's approximation has this; no component's graph does.
      throw FormatError(
        .unsupported, "merged tokens cannot be exported", context: node.name,
        hint: "export the network as it is")
    }
  }
}
