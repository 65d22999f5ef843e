import ModelGraph
import OrderedJSON

extension NetworkDescriptor {
  /// The denoising UNet.
  public static let unet = NetworkDescriptor(
    className: "UNet2DConditionModel", component: .unet, title: "UNet", role: .required,
    graphNames: [.unet],
    marks: [
      ["time_embedding.linear_1.weight", "conv_in.weight", "conv_out.weight"],
      ["time_embed.0.weight", "input_blocks.0.0.weight", "out.2.weight"],
    ],
    hints: [".resnets.0.time_emb_proj.", ".emb_layers.1."],
    places: [
      SingleFilePlace(prefix: "model.diffusion_model."),
      SingleFilePlace(prefix: "diffusion_model.", mark: singleFileMark),
      SingleFilePlace(
        prefix: "unet.",
        mark: singleFileMark + [
          "conv_in.weight", "conv_norm_out.weight", "time_embedding.linear_1.weight",
          "up_blocks.0.resnets.0.conv1.weight",
        ]),
    ],
    namings: ["", "unet."].map { Naming(.published, prefix: $0) }
      + ["model.diffusion_model.", "diffusion_model.", "unet.", ""].flatMap {
        spelled(.singleFile, $0)
      },
    averagePlace: average.prefix + "diffusion_model",
    writtenPrefix: (beside: "model.diffusion_model.", alone: "model.diffusion_model."),
    inferred: ConfigurationInference.unet,
    likelyInferred: likelyUNet,
    isContradictory: ConfigurationInference.isContradictoryUNet,
    isDoubtful: ConfigurationInference.isDoubtfulUNet
  ) { object throws(GraphError) in [try UNet.graph(UNetConfiguration(object))] }

  /// The naming of the averaged weights in training checkpoints.
  package static let average = Naming(.average, prefix: "model_ema.")

  /// Any of these is of a UNet; one of them may be missing.
  private static let singleFileMark = [
    "input_blocks.0.0.weight", "input_blocks.1.0.in_layers.2.weight", "time_embed.0.weight",
    "out.2.weight",
  ]

  private static func likelyUNet(_ names: [PathAndShape]) -> JSONObject? {
    ConfigurationInference.UNetVotes(names)?.object(isWhole: true)
  }
}
