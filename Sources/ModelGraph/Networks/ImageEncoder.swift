extension GraphName {
  /// CLIP's vision model with its projection.
  public static let imageEncoder = GraphName(rawValue: "image_encoder")
}

/// The image encoder: a picture to its place in the space that CLIP shares with texts.
///
/// Source: CLIP (Radford et al. 2021) as in transformers' `CLIPVisionModelWithProjection`.
public enum ImageEncoder {
  /// Input `pixel_values [batch, 3, side, side]`, normalized; output `image_embeds [batch, width]`,
  /// not normalized.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func graph(
    _ configuration: ImageEncoderConfiguration
  ) throws(GraphError) -> Graph {
    var build = GraphBuilder(name: .imageEncoder, traits: .runsOncePerImage)
    let side = Dimension(configuration.pictureSize)
    let picture = build.input("pixel_values", [.symbol(.batch), 3, side, side])
    let view = try CLIPVision.append(
      picture, Path(name: "vision_model"), configuration.vision, to: &build)
    build.output("image_embeds", view)
    return build.graph
  }
}

/// CLIP's vision model and its projection, as the safety checker and the image encoder have them.
enum CLIPVision {
  /// From a picture `[batch, 3, side, side]` to `[batch, width]`.
  static func append(
    _ picture: Graph.ValueID, _ root: Path, _ configuration: SafetyCheckerConfiguration,
    to build: inout GraphBuilder
  ) throws(GraphError) -> Graph.ValueID {
    let embeddings = root.child("embeddings")
    let width = configuration.hiddenSize

    var hidden = try build.convolution(
      picture, embeddings.child("patch_embedding"), to: width, kernel: configuration.patchSize,
      stride: configuration.patchSize, padding: .all(0), bias: false)
    hidden = build.imageToTokens(embeddings.name + ".tokens", hidden)
    hidden = try build.prependToken(hidden, embeddings.child("class_embedding"))
    let tokens = build.shape(hidden)[1].fixed ?? 0
    hidden = build.addPositions(
      hidden, embeddings.child("position_embedding"), rows: tokens, width: width)
    build.buffer(embeddings.child("position_ids"), [1, tokens])
    // The published name, including its spelling error.
    hidden = try build.layerNorm(
      hidden, root.child("pre_layrnorm"), epsilon: configuration.layerNormEpsilon)
    let shape = CLIPLayer(
      width: width, inner: configuration.intermediateSize, heads: configuration.heads,
      activation: configuration.activation, epsilon: configuration.layerNormEpsilon, causal: false)
    for index in 0..<configuration.layers {
      hidden = try shape.append(hidden, root.child("encoder.layers.\(index)"), to: &build)
    }
    hidden = build.firstToken(root.name + ".pooled", hidden)
    hidden = try build.layerNorm(
      hidden, root.child("post_layernorm"), epsilon: configuration.layerNormEpsilon)
    hidden = try build.linear(
      hidden, Path(name: "visual_projection"), to: configuration.projectionWidth, bias: false)
    return hidden
  }
}
