extension GraphName {
  /// The safety checker.
  public static let safetyChecker = GraphName(rawValue: "safety_checker")
}

/// The safety checker's network: a picture to its place among concepts.
///
/// Source: CLIP's vision model (Radford et al. 2021) as in transformers' `CLIPVisionModel`, and the
/// projection of diffusers' `StableDiffusionSafetyChecker`, which compares the result with the
/// concepts in its file.
public enum SafetyChecker {
  /// Input `clip_input [batch, 3, side, side]`, normalized; output `image_embeds [batch, width]`.
  ///
  /// - Throws: ``GraphError`` if the configuration is inconsistent.
  public static func graph(
    _ configuration: SafetyCheckerConfiguration
  ) throws(GraphError) -> Graph {
    var build = GraphBuilder(name: .safetyChecker)
    let root = Path(name: "vision_model.vision_model", aliases: ["vision_model"])
    let embeddings = root.child("embeddings")
    let side = Dimension(configuration.pictureSize)
    let width = configuration.hiddenSize

    let picture = build.input("clip_input", [.symbol(.batch), 3, side, side])
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
    build.output("image_embeds", hidden)
    for (name, count) in [
      ("concept_embeds", SafetyCheckerConfiguration.conceptCount),
      ("special_care_embeds", SafetyCheckerConfiguration.specialCareCount),
    ] {
      build.buffer(Path(name: name), [count, configuration.projectionWidth])
      build.buffer(Path(name: name + "_weights"), [count])
    }
    return build.graph
  }
}
