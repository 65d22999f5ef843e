import OrderedJSON

/// The shape of a CLIP text encoder, from transformers' `text_encoder/config.json`.
public struct CLIPTextConfiguration: Sendable, Hashable {
  /// Rows of the token embedding.
  public private(set) var vocabularySize: Int
  /// Channels between layers.
  public let hiddenSize: Int
  /// Channels inside the MLP.
  public let intermediateSize: Int
  /// Transformer layers.
  public let layers: Int
  /// Attention heads of a layer.
  public let heads: Int
  /// The longest prompt, start and end tokens included: 77.
  public let maximumPositions: Int
  /// Between the two layers of the MLP.
  public let activation: Activation
  /// Added to variances in normalizations.
  public let layerNormEpsilon: Double

  /// A copy with room for more tokens, after the existing ones.
  public func adding(tokens: Int) -> CLIPTextConfiguration {
    var configuration = self
    configuration.vocabularySize += tokens
    return configuration
  }

  /// - Throws: ``GraphError`` naming a field that is missing, out of range or not supported.
  package init(_ object: JSONObject) throws(GraphError) {
    var reader = ConfigurationReader(component: GraphName.textEncoder.rawValue, object)
    vocabularySize = try reader.integer("vocab_size", in: 1...1_000_000, default: 49_408)
    hiddenSize = try reader.integer("hidden_size", default: 512)
    intermediateSize = try reader.integer("intermediate_size", in: 1...262_144, default: 2_048)
    layers = try reader.integer("num_hidden_layers", in: 1...128, default: 12)
    heads = try reader.integer("num_attention_heads", in: 1...1_024, default: 8)
    maximumPositions = try reader.integer("max_position_embeddings", in: 2...4_096, default: 77)
    layerNormEpsilon = try reader.number("layer_norm_eps", default: 1e-5)
    switch try reader.choice("hidden_act", of: ["quick_gelu", "gelu"], default: "quick_gelu") {
    case "gelu": activation = .gelu
    default: activation = .quickGELU
    }
    _ = try reader.choice("model_type", of: ["clip_text_model"], default: "clip_text_model")
    // The pooled output is at the end token, which cannot be None.
    if object["eos_token_id"]?.isNull == true {
      throw reader.failure("eos_token_id", "is null, not the number of the token that ends prompts")
    }
    // Training, tokens that the tokenizer determines, and the projection that this encoder lacks.
    reader.ignore(
      "architectures", "attention_dropout", "dropout", "initializer_factor", "initializer_range",
      "bos_token_id", "eos_token_id", "pad_token_id", "projection_dim", "torch_dtype", "dtype",
      "transformers_version", "use_cache", "return_dict")
    try reader.finish()
    guard hiddenSize % heads == 0 else {
      throw reader.failure(
        "num_attention_heads", "is \(heads), which does not divide the hidden size \(hiddenSize)")
    }
  }
}
