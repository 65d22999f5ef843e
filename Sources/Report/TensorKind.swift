import ModelFormats

/// The role of a tensor in its network, in a few kinds that can be distinguished by color.
public enum TensorKind: String, Sendable, CaseIterable {
  case convolution
  case attention
  case feedForward = "feed-forward"
  case linear
  case normalization
  case embedding
  case lowRank = "low-rank (LoRA)"
  case buffer
  case other

  /// The kind by name and shape.
  ///
  /// - Parameters:
  ///   - name: the tensor's published name.
  ///   - isBuffer: whether it is known not to be learned.
  package init(name: String, shape: Shape, isBuffer: Bool) {
    let parts = name.lowercased().split(separator: ".")
    func has(_ test: (Substring) -> Bool) -> Bool { parts.contains(where: test) }
    if isBuffer {
      self = .buffer
    } else if has({ $0.hasPrefix("lora_") || $0.hasPrefix("hada_") || $0 == "alpha" })
      || has({ $0 == "lora" || $0.contains("_lora") })
    {
      self = .lowRank
    } else if has({ $0.contains("norm") }) {
      self = .normalization
    } else if has({ $0.hasPrefix("attn") || $0.hasSuffix("_attn") || $0 == "attention" })
      || parts.contains(where: TensorKind.projections.contains)
    {
      self = .attention
    } else if has({ $0 == "ff" || $0 == "mlp" || $0 == "fc1" || $0 == "fc2" }) {
      self = .feedForward
    } else if has({
      ["token_embedding", "position_embedding", "embeddings", "wte", "wpe"].contains($0)
    }) || (name.hasPrefix("<") && name.hasSuffix(">")) || name == "emb_params"
      || name.hasPrefix("string_to_param")
    {
      self = .embedding
    } else if shape.rank == 4 || has({ $0.hasPrefix("conv") || $0.hasSuffix("_conv") }) {
      self = .convolution
    } else if shape.rank == 2
      || has({ $0.hasPrefix("linear") || $0.hasSuffix("_proj") || $0.hasPrefix("proj") })
    {
      self = .linear
    } else {
      self = .other
    }
  }

  /// Last modules of an attention in diffusers, transformers and the original VAE.
  private static let projections: Set<Substring> = [
    "to_q", "to_k", "to_v", "to_out", "q_proj", "k_proj", "v_proj", "out_proj", "query", "key",
    "value", "proj_attn",
  ]
}
