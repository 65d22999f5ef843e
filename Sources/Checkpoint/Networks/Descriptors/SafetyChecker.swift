import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// Stable Diffusion's safety checker.
  public static let safetyChecker = NetworkDescriptor(
    className: "StableDiffusionSafetyChecker", component: .safetyChecker, title: "safety checker",
    library: "stable_diffusion", role: .helper, graphNames: [.safetyChecker],
    marks: [["visual_projection.weight", "concept_embeds", "special_care_embeds"]],
    isRecognizedFirst: true, namings: spelled(.published, ""),
    inferred: ConfigurationInference.safetyChecker
  ) { object throws(GraphError) in
    [try SafetyChecker.graph(SafetyCheckerConfiguration(object))]
  }
}

extension ConfigurationInference {
  static func safetyChecker(_ shapes: TensorShapes) -> JSONObject? {
    guard
      let (vision, projection) = vision(
        shapes, under: ["vision_model.vision_model.", "vision_model."])
    else { return nil }
    return [
      "architectures": [.string(NetworkDescriptor.safetyChecker.className)],
      "projection_dim": .integer(projection), "vision_config": .object(vision),
    ]
  }

  /// The fields of a CLIP vision model and the width of its projection, from the shapes of tensors under
  /// the first prefix that has them; nil if tensors are missing.
  static func vision(
    _ shapes: TensorShapes, under prefixes: [String]
  ) -> (fields: JSONObject, projection: Int)? {
    guard
      let root = prefixes.first(where: { shapes.contains($0 + "embeddings.class_embedding") }),
      // [width, 3, side, side]
      let patch = shapes(root + "embeddings.patch_embedding.weight", rank: 4),
      let positions = shapes(root + "embeddings.position_embedding.weight", rank: 2),
      let inner = shapes(root + "encoder.layers.0.mlp.fc1.weight", rank: 2),
      let projection = shapes("visual_projection.weight", rank: 2)
    else { return nil }
    let side = Int(Double(positions[0] - 1).squareRoot().rounded())
    let fields: JSONObject = [
      "hidden_act": "quick_gelu", "hidden_size": .integer(patch[0]),
      "image_size": .integer(side * patch[3]), "intermediate_size": .integer(inner[0]),
      "layer_norm_eps": 1e-05,
      "num_attention_heads": .integer(patch[0] % 64 == 0 ? patch[0] / 64 : 1),
      "num_hidden_layers": .integer(
        shapes.count { "\(root)encoder.layers.\($0).mlp.fc1.weight" }),
      "patch_size": .integer(patch[3]),
    ]
    return (fields, projection[0])
  }
}
