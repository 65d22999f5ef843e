import OrderedJSON

/// Builds a graph node by node; each method appends one node and infers its output's shape.
package struct GraphBuilder {
  package typealias Value = Graph.ValueID

  package private(set) var graph: Graph
  /// The component named in errors.
  let component: String

  /// - Parameter component: nil if it is called as the graph is.
  package init(name: GraphName, component: String? = nil, traits: GraphTraits = []) {
    graph = Graph(name: name, traits: traits)
    self.component = component ?? name.rawValue
  }

  func shape(_ value: Value) -> [Dimension] { graph[value].shape }

  /// The channels of an image.
  func channels(_ image: Value) throws(GraphError) -> Int {
    guard shape(image).count == 4, let channels = shape(image)[1].fixed else {
      throw failure(
        "a picture was expected, not a value of shape \(shape(image))", field: "block_out_channels")
    }
    return channels
  }

  func failure(_ message: String, field: String? = nil) -> GraphError {
    GraphError(
      component: component, field: field,
      message: (field.map { "\($0): " } ?? "") + message)
  }

  // MARK: Inputs and outputs

  package mutating func input(_ name: String, _ shape: [Dimension], isInteger: Bool = false)
    -> Value
  {
    let value = append(name, shape, isInteger: isInteger)
    graph.inputs.append(value)
    return value
  }

  /// Makes `value` an output named `name`.
  package mutating func output(_ name: String, _ value: Value) {
    graph.values[value.index] = Graph.Value(
      name: name, shape: shape(value), isInteger: graph[value].isInteger)
    graph.outputs.append(value)
  }

  /// A tensor that checkpoints contain besides the parameters.
  mutating func buffer(_ path: Path, _ shape: [Int]) {
    graph.buffers.append(Parameter(path, shape: shape, singleFileShape: shape))
  }

  // MARK: Layers with parameters

  package mutating func convolution(
    _ input: Value, _ path: Path, to outputChannels: Int, kernel: Int, stride: Int = 1,
    padding: Convolution.Padding, bias hasBias: Bool = true
  ) throws(GraphError) -> Value {
    let inputChannels = try channels(input)
    let form = Convolution(
      inputChannels: inputChannels, outputChannels: outputChannels, kernel: kernel,
      stride: stride, padding: padding)
    var output = shape(input)
    output[1] = Dimension(outputChannels)
    if stride == 2 {
      guard let height = output[2].halved, let width = output[3].halved else {
        throw failure(
          "\(path.name) cannot halve a picture of shape \(shape(input))",
          field: "block_out_channels")
      }
      output[2] = height
      output[3] = width
    } else if stride > 2 {
      guard let height = output[2].fixed, let width = output[3].fixed, padding == .all(0),
        height >= kernel, width >= kernel
      else {
        throw failure(
          "\(path.name) cannot cut a picture of shape \(shape(input)) into patches",
          field: "patch_size")
      }
      output[2] = Dimension((height - kernel) / stride + 1)
      output[3] = Dimension((width - kernel) / stride + 1)
    }
    let weight = parameter(path.child("weight"), [outputChannels, inputChannels, kernel, kernel])
    let bias = hasBias ? parameter(path.child("bias"), [outputChannels]) : nil
    return node(path.name, .convolution(form), [input], output, weight: weight, bias: bias)
  }

  /// A linear layer on the last axis; `asConvolution` if single files store a 1x1 convolution.
  package mutating func linear(
    _ input: Value, _ path: Path, to outputFeatures: Int, bias hasBias: Bool = true,
    asConvolution: Bool = false
  ) throws(GraphError) -> Value {
    guard let inputFeatures = shape(input).last?.fixed else {
      throw failure("\(path.name) has no fixed input width", field: "block_out_channels")
    }
    let matrix = [outputFeatures, inputFeatures]
    let weight = parameter(
      path.child("weight"), matrix, singleFileShape: asConvolution ? matrix + [1, 1] : matrix)
    let bias = hasBias ? parameter(path.child("bias"), [outputFeatures]) : nil
    let output = shape(input).dropLast() + [Dimension(outputFeatures)]
    return node(path.name, .linear, [input], Array(output), weight: weight, bias: bias)
  }

  mutating func groupNorm(
    _ input: Value, _ path: Path, groups: Int, epsilon: Double, silu: Bool
  ) throws(GraphError) -> Value {
    let channels = try channels(input)
    guard channels % groups == 0 else {
      throw failure(
        "\(path.name) cannot split \(channels.of("channel")) into \(groups) groups",
        field: "norm_num_groups")
    }
    let form = GroupNorm(groups: groups, epsilon: epsilon, silu: silu)
    let weight = parameter(path.child("weight"), [channels])
    let bias = parameter(path.child("bias"), [channels])
    return node(
      path.name, .groupNorm(form), [input], shape(input), weight: weight, bias: bias)
  }

  mutating func layerNorm(
    _ input: Value, _ path: Path, epsilon: Double
  ) throws(GraphError) -> Value {
    guard let width = shape(input).last?.fixed else {
      throw failure("\(path.name) has no fixed width", field: "block_out_channels")
    }
    let weight = parameter(path.child("weight"), [width])
    let bias = parameter(path.child("bias"), [width])
    return node(
      path.name, .layerNorm(epsilon: epsilon), [input], shape(input), weight: weight, bias: bias)
  }

  /// Rows of a table selected by integer ids.
  mutating func embedding(_ ids: Value, _ path: Path, rows: Int, width: Int) -> Value {
    let weight = parameter(path.child("weight"), [rows, width])
    return node(
      path.name, .embedding, [ids], shape(ids) + [Dimension(width)], weight: weight)
  }

  /// Adds row `i` of a table to token `i`.
  mutating func addPositions(_ tokens: Value, _ path: Path, rows: Int, width: Int) -> Value {
    let weight = parameter(path.child("weight"), [rows, width])
    return node(path.name, .addPositions, [tokens], shape(tokens), weight: weight)
  }

  /// Prepends one learned token to those of each sample.
  mutating func prependToken(_ tokens: Value, _ path: Path) throws(GraphError) -> Value {
    guard let count = shape(tokens)[1].fixed, let width = shape(tokens)[2].fixed else {
      throw failure(
        "\(path.name) needs a fixed number of tokens, not \(shape(tokens))", field: "image_size")
    }
    let weight = parameter(path, [width])
    return node(
      path.name, .prependToken, [tokens],
      [shape(tokens)[0], Dimension(count + 1), shape(tokens)[2]],
      weight: weight)
  }

  // MARK: Layers without parameters

  mutating func firstToken(_ name: String, _ tokens: Value) -> Value {
    node(name, .firstToken, [tokens], [shape(tokens)[0], shape(tokens)[2]])
  }

  mutating func attention(
    _ name: String, query: Value, key: Value, value: Value, heads: Int, causal: Bool = false,
    upcast: Bool = false
  ) throws(GraphError) -> Value {
    guard let width = shape(query).last?.fixed, heads > 0, width % heads == 0 else {
      throw failure(
        "\(name) cannot split \(shape(query)) into \(heads.of("head"))", field: "attention_head_dim"
      )
    }
    let form = Attention(
      heads: heads, causal: causal, scale: 1 / Double(width / heads).squareRoot(), upcast: upcast)
    return node(name, .attention(form), [query, key, value], shape(query))
  }

  package mutating func activation(_ name: String, _ function: Activation, _ input: Value) -> Value
  {
    node(name, .activation(function), [input], shape(input))
  }

  mutating func geglu(_ name: String, _ input: Value) throws(GraphError) -> Value {
    guard let width = shape(input).last?.fixed, width % 2 == 0 else {
      throw failure(
        "\(name) cannot halve a value of shape \(shape(input))", field: "block_out_channels")
    }
    return node(name, .geglu, [input], shape(input).dropLast() + [Dimension(width / 2)])
  }

  package mutating func add(_ name: String, _ left: Value, _ right: Value) throws(GraphError)
    -> Value
  {
    guard shape(left) == shape(right) else {
      throw failure(
        "\(name) adds shapes \(shape(left)) and \(shape(right))", field: "block_out_channels")
    }
    return node(name, .add, [left, right], shape(left))
  }

  mutating func addPerChannel(_ name: String, _ image: Value, _ vector: Value) -> Value {
    node(name, .addPerChannel, [image, vector], shape(image))
  }

  mutating func concatenate(
    _ name: String, _ first: Value, _ second: Value
  ) throws(GraphError) -> Value {
    var output = shape(first)
    output[1] = Dimension(try channels(first) + channels(second))
    guard Array(output[2...]) == Array(shape(second)[2...]) else {
      throw failure(
        "\(name) joins pictures of shapes \(shape(first)) and \(shape(second))",
        field: "block_out_channels")
    }
    return node(name, .concatenate, [first, second], output)
  }

  /// Doubles an image to `height` by `width`, which may each be one less than double.
  mutating func upsampleNearest(
    _ name: String, _ image: Value, height: Dimension, width: Dimension
  ) -> Value {
    node(name, .upsampleNearest, [image], [shape(image)[0], shape(image)[1], height, width])
  }

  mutating func timestepEmbedding(
    _ name: String, _ timestep: Value, _ form: TimestepEmbedding
  ) -> Value {
    node(name, .timestepEmbedding(form), [timestep], [1, Dimension(form.channels)])
  }

  mutating func imageToTokens(_ name: String, _ image: Value) -> Value {
    let from = shape(image)
    return node(name, .imageToTokens, [image], [from[0], from[2] * from[3], from[1]])
  }

  /// Tokens as an image with the height and width of `image`.
  mutating func tokensToImage(_ name: String, _ tokens: Value, like image: Value) -> Value {
    let from = shape(tokens)
    return node(
      name, .tokensToImage, [tokens], [from[0], from[2], shape(image)[2], shape(image)[3]])
  }

  // MARK: Appending

  private mutating func append(
    _ name: String, _ shape: [Dimension], isInteger: Bool = false
  ) -> Value {
    graph.values.append(Graph.Value(name: name, shape: shape, isInteger: isInteger))
    return Value(index: graph.values.count - 1)
  }

  private mutating func parameter(
    _ path: Path, _ shape: [Int], singleFileShape: [Int]? = nil
  ) -> Graph.ParameterID {
    graph.parameters.append(
      Parameter(path, shape: shape, singleFileShape: singleFileShape ?? shape))
    return Graph.ParameterID(index: graph.parameters.count - 1)
  }

  private mutating func node(
    _ name: String, _ operation: Operation, _ inputs: [Value], _ shape: [Dimension],
    weight: Graph.ParameterID? = nil, bias: Graph.ParameterID? = nil
  ) -> Value {
    let output = append(name, shape)
    graph.nodes.append(
      Graph.Node(
        name: name, operation: operation, inputs: inputs, output: output, weight: weight,
        bias: bias))
    return output
  }
}
