extension Parameter {
  /// OpenCLIP's name of a text encoder parameter, and the third of that tensor's rows if queries,
  /// keys and values share it; nil if OpenCLIP has no such parameter.
  ///
  /// Source: open_clip's `CLIP` with the names of torch's `MultiheadAttention`, whose
  /// `in_proj_weight` is `[3 · width, width]`: rows of queries, keys, values.
  public var openCLIP: (name: String, third: Int?)? {
    switch name {
    case "text_model.embeddings.token_embedding.weight": return ("token_embedding.weight", nil)
    case "text_model.embeddings.position_embedding.weight": return ("positional_embedding", nil)
    case "text_model.final_layer_norm.weight": return ("ln_final.weight", nil)
    case "text_model.final_layer_norm.bias": return ("ln_final.bias", nil)
    default: break
    }
    let root = "text_model.encoder.layers."
    guard name.hasPrefix(root) else { return nil }
    let parts = name.dropFirst(root.count).split(separator: ".")
    // layers.N.<module>.<layer>.weight, or layers.N.<norm>.weight.
    guard parts.count >= 3, let kind = parts.last else { return nil }
    let layer = "transformer.resblocks.\(parts[0])."
    switch parts[1..<parts.count - 1].joined(separator: ".") {
    case "layer_norm1": return ("\(layer)ln_1.\(kind)", nil)
    case "layer_norm2": return ("\(layer)ln_2.\(kind)", nil)
    case "mlp.fc1": return ("\(layer)mlp.c_fc.\(kind)", nil)
    case "mlp.fc2": return ("\(layer)mlp.c_proj.\(kind)", nil)
    case "self_attn.out_proj": return ("\(layer)attn.out_proj.\(kind)", nil)
    case "self_attn.q_proj": return ("\(layer)attn.in_proj_\(kind)", 0)
    case "self_attn.k_proj": return ("\(layer)attn.in_proj_\(kind)", 1)
    case "self_attn.v_proj": return ("\(layer)attn.in_proj_\(kind)", 2)
    default: return nil
    }
  }
}
