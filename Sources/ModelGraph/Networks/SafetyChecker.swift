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
    var build = GraphBuilder(name: .safetyChecker, traits: .runsOncePerImage)
    let root = Path(name: "vision_model.vision_model", aliases: ["vision_model"])
    let picture = build.input(
      "clip_input",
      [
        .symbol(.batch), 3, Dimension(configuration.pictureSize),
        Dimension(configuration.pictureSize),
      ])
    let view = try CLIPVision.append(picture, root, configuration, to: &build)
    build.output("image_embeds", view)
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
