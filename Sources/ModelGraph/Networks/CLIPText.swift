extension GraphName {
  /// CLIP's text encoder.
  public static let textEncoder = GraphName(rawValue: "text_encoder")
}

/// The text encoder: token ids to the hidden states that the UNet attends to.
///
/// Source: CLIP (Radford et al. 2021) as in transformers' `CLIPTextModel`: pre-norm transformer
/// layers with causal attention.
public enum CLIPText {
  /// Input `input_ids [batch, sequence]`; output `last_hidden_state [batch, sequence, hidden]`.
  ///
  /// - Parameter earlierLayers: whether to add the outputs `hidden_state_2` (of the layer before
  ///   the last), `hidden_state_3` and so on up to the first layer, each after the final norm, for
  ///   clip skip.
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func graph(
    _ configuration: CLIPTextConfiguration, earlierLayers: Bool = false
  ) throws(GraphError) -> Graph {
    var build = GraphBuilder(name: .textEncoder)
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

    let shape = CLIPLayer(
      width: width, inner: configuration.intermediateSize, heads: configuration.heads,
      activation: configuration.activation, epsilon: configuration.layerNormEpsilon, causal: true)
    for index in 0..<configuration.layers {
      let layer = root.child("encoder").child("layers").child(String(index))
      hidden = try shape.append(hidden, layer, to: &build)
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

  /// The name of the output of the `position`-th layer from the end; 1 is the last.
  public static func hiddenState(fromLast position: Int) -> String {
    position == 1 ? "last_hidden_state" : "hidden_state_\(position)"
  }
}
