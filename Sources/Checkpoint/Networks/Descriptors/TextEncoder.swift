import ModelGraph

extension NetworkDescriptor {
  /// CLIP's text model.
  public static let textEncoder = NetworkDescriptor(
    className: "CLIPTextModel", component: .textEncoder, title: "text encoder", role: .required,
    graphNames: [.textEncoder],
    marks: [
      ["text_model.embeddings.token_embedding.weight", "text_model.final_layer_norm.weight"],
      ["embeddings.token_embedding.weight", "final_layer_norm.weight"],
    ],
    hints: [".self_attn.q_proj."],
    places: [
      SingleFilePlace(prefix: "cond_stage_model."),
      SingleFilePlace(prefix: "text_encoders.clip_l."),
      SingleFilePlace(prefix: "conditioner.embedders.0."),
      SingleFilePlace(
        prefix: "text_encoder.",
        mark: [
          "text_model.embeddings.token_embedding.weight", "embeddings.token_embedding.weight",
          "text_model.final_layer_norm.weight", "text_model.encoder.layers.0.mlp.fc1.weight",
        ]),
      SingleFilePlace(prefix: "conditioner.embedders.1.", other: .secondTextEncoder),
      SingleFilePlace(prefix: "text_encoders.clip_g.", other: .secondTextEncoder),
    ],
    namings: ["", "text_encoder."].flatMap { spelled(.published, $0) }
      + [
        "cond_stage_model.transformer.", "text_encoders.clip_l.transformer.",
        "conditioner.embedders.0.transformer.",
      ].flatMap { spelled(.singleFile, $0) },
    joinedNamings: [openCLIP],
    writtenPrefix: (
      beside: "cond_stage_model.transformer.", alone: "cond_stage_model.transformer."
    ),
    clipField: "text_config",
    inferred: ConfigurationInference.text, likelyInferred: ConfigurationInference.likelyText,
    isDoubtful: ConfigurationInference.isDoubtfulText
  ) { object throws(GraphError) in [try CLIPText.graph(CLIPTextConfiguration(object))] }

  /// The naming of the text encoder in original single files of Stable Diffusion 2.
  package static let openCLIP = Naming(.openCLIP, prefix: "cond_stage_model.model.")
}
