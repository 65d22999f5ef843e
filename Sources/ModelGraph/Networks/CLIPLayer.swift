/// A layer of CLIP's transformers (text encoder and vision model): attention and an MLP, each after
/// a norm and with a residual connection.
struct CLIPLayer {
  let width: Int
  /// The inner width of the MLP.
  let inner: Int
  let heads: Int
  let activation: Activation
  let epsilon: Double
  /// Whether a token attends only to those before it, as in text.
  let causal: Bool

  func append(
    _ input: Graph.ValueID, _ path: Path, to build: inout GraphBuilder
  ) throws(GraphError) -> Graph.ValueID {
    let attention = path.child("self_attn")
    var hidden = try build.layerNorm(input, path.child("layer_norm1"), epsilon: epsilon)
    let query = try build.linear(hidden, attention.child("q_proj"), to: width)
    let key = try build.linear(hidden, attention.child("k_proj"), to: width)
    let value = try build.linear(hidden, attention.child("v_proj"), to: width)
    hidden = try build.attention(
      attention.name, query: query, key: key, value: value, heads: heads, causal: causal)
    hidden = try build.linear(hidden, attention.child("out_proj"), to: width)
    let attended = try build.add(attention.name + ".residual", input, hidden)

    let mlp = path.child("mlp")
    hidden = try build.layerNorm(attended, path.child("layer_norm2"), epsilon: epsilon)
    hidden = try build.linear(hidden, mlp.child("fc1"), to: inner)
    hidden = build.activation(mlp.name + ".activation_fn", activation, hidden)
    hidden = try build.linear(hidden, mlp.child("fc2"), to: width)
    return try build.add(mlp.name + ".residual", attended, hidden)
  }
}
