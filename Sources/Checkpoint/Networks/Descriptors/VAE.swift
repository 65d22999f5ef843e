import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// The variational autoencoder.
  public static let vae = NetworkDescriptor(
    className: "AutoencoderKL", component: .vae, title: "VAE", role: .required,
    graphNames: [.vaeDecoder, .vaeEncoder],
    marks: [
      ["encoder.conv_in.weight", "encoder.conv_norm_out.weight"],
      ["decoder.conv_in.weight", "decoder.conv_norm_out.weight"],
      ["encoder.conv_in.weight", "encoder.norm_out.weight"],
      ["decoder.conv_in.weight", "decoder.norm_out.weight"],
    ],
    hints: ["coder.mid.block_1.", "coder.mid_block.resnets.0.", "coder.up.", "coder.down."],
    places: [
      SingleFilePlace(prefix: "first_stage_model."),
      SingleFilePlace(
        prefix: "vae.",
        mark: [
          "encoder.conv_in.weight", "decoder.conv_in.weight", "decoder.mid.block_1.conv1.weight",
          "decoder.mid_block.resnets.0.conv1.weight",
        ]),
    ],
    // Three spellings of the attention in diffusers' layout, four in single files.
    namings: ["", "vae."].flatMap { spelled(.published, $0, 0...2) }
      + ["first_stage_model.", "vae.", ""].flatMap { spelled(.singleFile, $0, 0...3) },
    // Programs that take a VAE only expect no prefix.
    writtenPrefix: (beside: "first_stage_model.", alone: ""),
    inferred: ConfigurationInference.vae,
    likelyInferred: likelyVAE,
    isContradictory: ConfigurationInference.isContradictoryVAE,
    isDoubtful: ConfigurationInference.isDoubtfulVAE
  ) { object throws(GraphError) in
    let configuration = try VAEConfiguration(object)
    return [try VAE.encoder(configuration), try VAE.decoder(configuration)]
  }

  private static func likelyVAE(_ names: [PathAndShape]) -> JSONObject? {
    VAEVotes(names)?.object
  }
}
