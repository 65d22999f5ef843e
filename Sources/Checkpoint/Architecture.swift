import ModelFormats
import ModelGraph
import OrderedJSON

/// The networks that are known as graphs, by the class that they have in diffusers or
/// transformers.
public enum Architecture: String, Sendable, CaseIterable {
  case textEncoder = "CLIPTextModel"
  case unet = "UNet2DConditionModel"
  case vae = "AutoencoderKL"

  /// The component that has this architecture in a Stable Diffusion pipeline.
  public var component: ComponentName {
    switch self {
    case .textEncoder: .textEncoder
    case .unet: .unet
    case .vae: .vae
    }
  }

  /// The graphs of the network: one, or for the VAE the encoder's and the decoder's.
  func graphs(_ object: JSONObject) throws(GraphError) -> [Graph] {
    switch self {
    case .textEncoder:
      return [try CLIPText.graph(CLIPTextConfiguration(object))]
    case .unet:
      return [try UNet.graph(UNetConfiguration(object))]
    case .vae:
      let configuration = try VAEConfiguration(object)
      return [try VAE.encoder(configuration), try VAE.decoder(configuration)]
    }
  }

  /// The architecture that tensor names give away; nil where they fit none.
  static func recognized(in file: TensorFile) -> Architecture? {
    let wrapper = SingleFileLayout.wrapper(of: file.tensors)
    return marks.first { _, alternatives in
      alternatives.contains { names in names.allSatisfy { file[wrapper + $0] != nil } }
    }?.0
  }

  /// Tensors that a network has whatever its size, in each naming without a prefix.
  private static let marks: [(Architecture, [[String]])] = [
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
  ]
}
