/// The text encoder: token ids to the hidden states that the UNet attends to.
///
/// Source: CLIP (Radford et al. 2021) as transformers' `CLIPTextModel` computes it: pre-norm
/// transformer layers with causal attention.
public enum CLIPText {
  /// Input `input_ids [batch, sequence]`; output `last_hidden_state [batch, sequence, hidden]`.
  ///
  /// - Parameter earlierLayers: whether there are also the outputs `hidden_state_2` (of the layer
  ///   before the last), `hidden_state_3` and so on to that of the first layer, each through the
  ///   final norm, as for a prompt of which the last layers are skipped.
  /// - Throws: ``GraphError`` where the configuration does not fit together.
  public static func graph(
    _ configuration: CLIPTextConfiguration, earlierLayers: Bool = false
  ) throws(GraphError) -> Graph {
    var build = GraphBuilder(name: "text_encoder", component: "text_encoder")
    let root = Path(
      name: "text_model", aliases: [""], prefix: "cond_stage_model.transformer.",
      singleFile: "text_model", singleFileAliases: [""])
    let width = configuration.hiddenSize
    let embeddings = root.child("embeddings")

    let ids = build.input("input_ids", [.symbol(.batch), .symbol(.sequence)], isInteger: true)
    var hidden = build.embedding(
      ids, embeddings.child("token_embedding"), rows: configuration.vocabularySize, width: width)
    hidden = build.addPositions(
      hidden, embeddings.child("position_embedding"), rows: configuration.maximumPositions,
      width: width)
    build.buffer(embeddings.child("position_ids"), [1, configuration.maximumPositions])

    for index in 0..<configuration.layers {
      let layer = root.child("encoder").child("layers").child(String(index))
      hidden = try self.layer(hidden, layer, configuration, &build)
      if earlierLayers, index + 1 < configuration.layers {
        let normed = try build.layerNorm(
          hidden, root.child("final_layer_norm"), epsilon: configuration.layerNormEpsilon)
        build.output(hiddenState(fromLast: configuration.layers - index), normed)
      }
    }
    hidden = try build.layerNorm(
      hidden, root.child("final_layer_norm"), epsilon: configuration.layerNormEpsilon)
    build.output("last_hidden_state", hidden)
    return build.graph
  }

  /// The name of the output of the layer that is the `position`-th from the last, which is 1.
  public static func hiddenState(fromLast position: Int) -> String {
    position == 1 ? "last_hidden_state" : "hidden_state_\(position)"
  }

  private static func layer(
    _ input: Graph.ValueID, _ path: Path, _ configuration: CLIPTextConfiguration,
    _ build: inout GraphBuilder
  ) throws(GraphError) -> Graph.ValueID {
    let width = configuration.hiddenSize
    let attention = path.child("self_attn")
    var hidden = try build.layerNorm(
      input, path.child("layer_norm1"), epsilon: configuration.layerNormEpsilon)
    let query = try build.linear(hidden, attention.child("q_proj"), to: width)
    let key = try build.linear(hidden, attention.child("k_proj"), to: width)
    let value = try build.linear(hidden, attention.child("v_proj"), to: width)
    hidden = try build.attention(
      attention.name, query: query, key: key, value: value, heads: configuration.heads,
      causal: true)
    hidden = try build.linear(hidden, attention.child("out_proj"), to: width)
    let attended = try build.add(attention.name + ".residual", input, hidden)

    let mlp = path.child("mlp")
    hidden = try build.layerNorm(
      attended, path.child("layer_norm2"), epsilon: configuration.layerNormEpsilon)
    hidden = try build.linear(hidden, mlp.child("fc1"), to: configuration.intermediateSize)
    hidden = build.activation(mlp.name + ".activation_fn", configuration.activation, hidden)
    hidden = try build.linear(hidden, mlp.child("fc2"), to: width)
    return try build.add(mlp.name + ".residual", attended, hidden)
  }
}
