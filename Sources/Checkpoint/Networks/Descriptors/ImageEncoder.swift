import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// CLIP's vision model with its projection.
  public static let imageEncoder = NetworkDescriptor(
    className: "CLIPVisionModelWithProjection", component: .imageEncoder, title: "image encoder",
    graphNames: [.imageEncoder],
    marks: [["vision_model.embeddings.class_embedding", "visual_projection.weight"]],
    namings: spelled(.published, ""), inferred: ConfigurationInference.imageEncoder
  ) { object throws(GraphError) in
    [try ImageEncoder.graph(ImageEncoderConfiguration(object))]
  }
}

extension ConfigurationInference {
  static func imageEncoder(_ shapes: TensorShapes) -> JSONObject? {
    let root = "vision_model."
    guard shapes.contains(root + "embeddings.class_embedding"),
      let patch = shapes(root + "embeddings.patch_embedding.weight", rank: 4),
      let positions = shapes(root + "embeddings.position_embedding.weight", rank: 2),
      let inner = shapes(root + "encoder.layers.0.mlp.fc1.weight", rank: 2),
      let projection = shapes("visual_projection.weight", rank: 2)
    else { return nil }
    var object = visionFields(shapes, root, patch, positions, inner)
    // OpenAI's models are ViT-B and ViT-L; larger ones are OpenCLIP's, with plain GELU.
    if patch[0] > 1024 {
      object["hidden_act"] = "gelu"
      // ViT-H and ViT-g have heads of 80 and 88 channels.
      let heads = [1280: 16, 1408: 16, 1664: 16][patch[0]]
      if let heads { object["num_attention_heads"] = .integer(heads) }
    }
    object["architectures"] = [.string(NetworkDescriptor.imageEncoder.className)]
    object["model_type"] = "clip_vision_model"
    object["projection_dim"] = .integer(projection[0])
    return object
  }
}
