import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON

/// Narrow networks in the form in which diffusers saves them.
struct SmallNetworks: Sendable {
  let configuration: JSONObject
  private let make: @Sendable (JSONObject) throws -> [Graph]

  private static let widths: JSON = [32, 64, 64, 64]
  private static let levels: JSON = [
    "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D",
  ]

  static let controlNet = SmallNetworks(
    configuration: [
      "_class_name": "ControlNetModel", "block_out_channels": widths, "cross_attention_dim": 64,
      "attention_head_dim": 4, "layers_per_block": 1, "norm_num_groups": 16,
      "conditioning_embedding_out_channels": [16, 32, 48, 64], "down_block_types": levels,
    ]) { [try ControlNet.graph(ControlNetConfiguration($0))] }

  static let unet = SmallNetworks(
    configuration: [
      "_class_name": "UNet2DConditionModel", "block_out_channels": widths,
      "cross_attention_dim": 64, "attention_head_dim": 4, "layers_per_block": 1,
      "norm_num_groups": 16, "down_block_types": levels,
      "up_block_types": [
        "UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
      ],
    ]) { [try UNet.graph(UNetConfiguration($0))] }

  static let tiny = SmallNetworks(
    configuration: [
      "_class_name": "AutoencoderTiny", "encoder_block_out_channels": [16, 16, 16, 16],
      "decoder_block_out_channels": [16, 16, 16, 16],
    ]) {
      let configuration = try TinyAutoencoderConfiguration($0)
      return [
        try TinyAutoencoder.encoder(configuration), try TinyAutoencoder.decoder(configuration),
      ]
    }

  static let safetyChecker = SmallNetworks(
    configuration: [
      "architectures": ["StableDiffusionSafetyChecker"], "projection_dim": 8,
      "vision_config": [
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
      ],
    ]) { [try SafetyChecker.graph(SafetyCheckerConfiguration($0))] }

  var graphs: [Graph] { get throws { try make(configuration) } }

  /// Writes the weights, with values that depend on the name and the position, and `config.json`.
  func write(to folder: String) throws {
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: true)
    let all = try graphs.flatMap { $0.parameters + $0.buffers }
    let isOfTransformers = configuration["architectures"] != nil
    try Safetensors.write(
      all.filter { !$0.name.hasSuffix("position_ids") }.map { Self.tensor($0, named: $0.name) },
      to: folder + (isOfTransformers ? "/model" : "/diffusion_pytorch_model") + ".safetensors")
    try JSON.object(configuration).text()
      .write(toFile: folder + "/config.json", atomically: true, encoding: .utf8)
  }

  static func tensor(_ parameter: Parameter, named name: String) -> Tensor {
    let seed = parameter.name.utf8.reduce(7) { ($0 &* 31 &+ Int($1)) & 0x3FF }
    let values = (0..<parameter.elementCount).map { Float((seed + 37 * $0) % 101 - 50) / 500 }
    return Tensor(
      name: name, dtype: .float32, shape: Shape(parameter.shape),
      storage: .memory(values.withUnsafeBytes { Array($0) }))
  }
}
