import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// CLIP's vision model with its projection.
  public static let imageEncoder = NetworkDescriptor(
    className: "CLIPVisionModelWithProjection", component: .imageEncoder, title: "image encoder",
    graphNames: [.imageEncoder],
    marks: [["vision_model.embeddings.class_embedding", "visual_projection.weight"]],
    namings: spelled(.published, ""), hasSingleFileNames: false, clipField: "vision_config",
    inferred: ConfigurationInference.imageEncoder
  ) { object throws(GraphError) in
    [try ImageEncoder.graph(ImageEncoderConfiguration(object))]
  }
}

extension ConfigurationInference {
  static func imageEncoder(_ shapes: TensorShapes) -> JSONObject? {
    guard let (fields, projection) = vision(shapes, under: ["vision_model."]) else { return nil }
    var object = fields
    // OpenAI's models are ViT-B and ViT-L; larger ones are OpenCLIP's, with plain GELU.
    if let width = object["hidden_size"]?.int, width > 1024 {
      object["hidden_act"] = "gelu"
      // ViT-H and ViT-g have heads of 80 and 88 channels.
      let heads = [1280: 16, 1408: 16, 1664: 16][width]
      if let heads { object["num_attention_heads"] = .integer(heads) }
    }
    object["architectures"] = [.string(NetworkDescriptor.imageEncoder.className)]
    object["model_type"] = "clip_vision_model"
    object["projection_dim"] = .integer(projection)
    return object
  }
}
