import ModelFormats
import ModelGraph
import OrderedJSON

/// The networks with graphs, by their class in diffusers or transformers.
public enum Architecture: String, Sendable, CaseIterable {
  case textEncoder = "CLIPTextModel"
  case unet = "UNet2DConditionModel"
  case vae = "AutoencoderKL"
  case controlNet = "ControlNetModel"
  case safetyChecker = "StableDiffusionSafetyChecker"
  case tinyAutoencoder = "AutoencoderTiny"

  /// The component with this architecture in a Stable Diffusion pipeline.
  public var component: ComponentName {
    switch self {
    case .textEncoder: .textEncoder
    case .unet: .unet
    case .vae: .vae
    case .controlNet: .controlNet
    case .safetyChecker: .safetyChecker
    case .tinyAutoencoder: .tinyAutoencoder
    }
  }

  /// The graphs of the network: one, or for an autoencoder the encoder's and the decoder's.
  func graphs(_ object: JSONObject) throws(GraphError) -> [Graph] {
    switch self {
    case .textEncoder:
      return [try CLIPText.graph(CLIPTextConfiguration(object))]
    case .unet:
      return [try UNet.graph(UNetConfiguration(object))]
    case .vae:
      let configuration = try VAEConfiguration(object)
      return [try VAE.encoder(configuration), try VAE.decoder(configuration)]
    case .controlNet:
      return [try ControlNet.graph(ControlNetConfiguration(object))]
    case .safetyChecker:
      return [try SafetyChecker.graph(SafetyCheckerConfiguration(object))]
    case .tinyAutoencoder:
      let configuration = try TinyAutoencoderConfiguration(object)
      // Files may contain only one half; the inferred configuration then says which.
      let half = object[ConfigurationInference.half]?.string
      return
        (half == "decoder" ? [] : [try TinyAutoencoder.encoder(configuration)])
        + (half == "encoder" ? [] : [try TinyAutoencoder.decoder(configuration)])
    }
  }

  /// The architecture identified by bare tensor names; nil if none matches.
  static func recognized(_ isThere: (String) -> Bool) -> Architecture? {
    marks.first { _, alternatives in
      alternatives.contains { names in names.allSatisfy(isThere) }
    }?.0
  }

  /// The architecture that most of the tensors and most of its parameters match, if the identifying
  /// names are missing.
  ///
  /// - Parameter tensors: under their bare names.
  static func likely(_ tensors: [Tensor], path: String) -> Architecture? {
    let text = NameText(tensors.lazy.map(\.name))
    return hints.first { architecture, words in
      guard words.contains(where: text.contains) else { return false }
      let component = Component(
        name: architecture.component, architecture: architecture.rawValue, configuration: nil,
        path: path, format: .safetensors, tensors: tensors, bareNames: tensors.map(\.name))
      // A file that only lacks tensors contains none of another network.
      let isForeign =
        component.manifest?.unexpected.contains { Leftover.kind(of: $0.name) == .unknown } ?? false
      return !isForeign && (component.manifest != nil || component.outline != nil)
    }?.0
  }

  /// Words in networks' names that ``likely(_:path:)`` examines closely.
  private static let hints: [(Architecture, [String])] = [
    (.controlNet, ["controlnet_down_blocks.", "zero_convs."]),
    (.unet, [".resnets.0.time_emb_proj.", ".emb_layers.1."]),
    (.vae, ["coder.mid.block_1.", "coder.mid_block.resnets.0.", "coder.up.", "coder.down."]),
    (.textEncoder, [".self_attn.q_proj."]),
  ]

  /// Whether tensors with these names are a network without prefix.
  static func isMarked(_ isThere: (String) -> Bool) -> Bool { recognized(isThere) != nil }

  /// Tensors of a network of any size, in each naming without a prefix; ControlNet before UNet,
  /// because it has half of its tensors.
  private static let marks: [(Architecture, [[String]])] = [
    (
      .controlNet,
      [
        ["controlnet_cond_embedding.conv_in.weight", "conv_in.weight"],
        ["input_hint_block.0.weight", "input_blocks.0.0.weight"],
      ]
    ),
    (
      .safetyChecker,
      [["visual_projection.weight", "concept_embeds", "special_care_embeds"]]
    ),
    (
      .textEncoder,
      [
        ["text_model.embeddings.token_embedding.weight", "text_model.final_layer_norm.weight"],
        ["embeddings.token_embedding.weight", "final_layer_norm.weight"],
      ]
    ),
    (
      .unet,
      [
        ["time_embedding.linear_1.weight", "conv_in.weight", "conv_out.weight"],
        ["time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"],
      ]
    ),
    (
      .vae,
      [
        ["encoder.conv_in.weight", "encoder.conv_norm_out.weight"],
        ["decoder.conv_in.weight", "decoder.conv_norm_out.weight"],
        ["encoder.conv_in.weight", "encoder.norm_out.weight"],
        ["decoder.conv_in.weight", "decoder.norm_out.weight"],
      ]
    ),
    (
      .tinyAutoencoder,
      [
        ["decoder.layers.0.weight", "decoder.layers.2.conv.0.weight"],
        ["encoder.layers.0.weight", "encoder.layers.1.conv.0.weight"],
        ["decoder.1.weight", "decoder.3.conv.0.weight"],
        ["encoder.0.weight", "encoder.1.conv.0.weight"],
        ["1.weight", "3.conv.0.weight", "19.weight"],
        ["0.weight", "1.conv.0.weight", "14.weight"],
      ]
    ),
  ]
}
