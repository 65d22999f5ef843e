import Checkpoint
import ModelFormats
import ModelGraph
import OrderedJSON
import Testing

/// Networks of several sizes, and files of them in any naming; no values.
struct SpelledNetwork: Sendable, CustomTestStringConvertible {
  let size: String
  let architecture: NetworkDescriptor
  let configuration: JSONObject
  var testDescription: String { "\(architecture.className) of \(size)" }

  func graphs() throws -> [Graph] {
    let component = Component(
      name: architecture.component, architecture: architecture.className,
      configuration: Configuration(object: configuration, path: "config.json"),
      path: "weights", format: .safetensors, tensors: [])
    return component.graphs
  }

  /// The distinct parameters of all its graphs, then its buffers.
  func parameters() throws -> [Parameter] {
    var seen: Set<String> = []
    return try graphs().flatMap { $0.parameters + $0.buffers }
      .filter { seen.insert($0.name).inserted }
  }

  /// The tensors of a file with this network, in that naming and its shapes.
  func tensors(_ naming: Naming, wrapper: String = "") throws -> [Tensor] {
    try parameters().map { parameter in
      Tensor(
        name: wrapper + naming.name(of: parameter),
        dtype: parameter.name.hasSuffix("position_ids") ? .int64 : .float32,
        shape: Shape(naming.shape(of: parameter)), storage: .memory([]))
    }
  }

  static let all: [SpelledNetwork] =
    [
      text("v1.5", hidden: 768, layers: 12), text("2.x", hidden: 1024, layers: 23),
      text("narrow", hidden: 64, layers: 2),
      vae("v1.5", [128, 256, 512, 512], layers: 2), vae("narrow", [32, 32, 64, 64], layers: 1),
      unet("v1.5", [320, 640, 1280, 1280]),
      unet("v1.5 inpainting", [320, 640, 1280, 1280], ["in_channels": 9]),
      unet(
        "2.x", [320, 640, 1280, 1280],
        [
          "cross_attention_dim": 1024, "use_linear_projection": true,
          "attention_head_dim": [5, 10, 20, 20],
        ]),
      unet("narrow", [32, 64, 128, 128], ["cross_attention_dim": 64]),
      unet("three levels", [64, 128, 256], ["layers_per_block": [1, 2, 3]]),
      unet("BK-SDM-Small", [320, 640, 1280, 1280], small),
      unet(
        "BK-SDM-Tiny", [320, 640, 1280],
        [
          "layers_per_block": 1, "mid_block_type": .null,
          "down_block_types": .array(.init(repeating: "CrossAttnDownBlock2D", count: 3)),
          "up_block_types": .array(.init(repeating: "CrossAttnUpBlock2D", count: 3)),
        ]),
      unet("BK-SDM-Base", [320, 640, 1280, 1280], ["layers_per_block": 1]),
      unet(
        "layers of its own", [64, 128, 256, 256],
        [
          "layers_per_block": [2, 2, 1, 1], "mid_block_type": .null,
          "transformer_layers_per_block": [1, 2, 3, 1],
        ]),
      unet(
        "prompts alone in the first level", [320, 640, 1280],
        [
          "layers_per_block": 1, "mid_block_type": .null,
          "only_cross_attention": [true, false, false],
        ]),
      unet("LCM", [320, 640, 1280, 1280], ["time_cond_proj_dim": 256]),
      unet("InstructPix2Pix", [320, 640, 1280, 1280], ["in_channels": 8]),
      unet(
        "2.x depth", [320, 640, 1280, 1280],
        [
          "in_channels": 5, "cross_attention_dim": 1024, "use_linear_projection": true,
          "attention_head_dim": [5, 10, 20, 20],
        ]),
    ]

  private static let small: KeyValuePairs<String, JSON> = [
    "layers_per_block": 1, "mid_block_type": .null,
  ]

  private static func text(_ size: String, hidden: Int, layers: Int) -> SpelledNetwork {
    SpelledNetwork(
      size: size, architecture: .textEncoder,
      configuration: [
        "hidden_act": hidden > 768 ? "gelu" : "quick_gelu", "hidden_size": .integer(hidden),
        "intermediate_size": .integer(4 * hidden), "num_hidden_layers": .integer(layers),
        "num_attention_heads": .integer(hidden / 64), "vocab_size": 49_408,
        "model_type": "clip_text_model",
      ])
  }

  private static func vae(_ size: String, _ channels: [Int], layers: Int) -> SpelledNetwork {
    SpelledNetwork(
      size: size, architecture: .vae,
      configuration: [
        "block_out_channels": .array(channels.map { .integer($0) }),
        "layers_per_block": .integer(layers),
        "down_block_types": .array(.init(repeating: "DownEncoderBlock2D", count: 4)),
        "up_block_types": .array(.init(repeating: "UpDecoderBlock2D", count: 4)),
      ])
  }

  private static func unet(
    _ size: String, _ channels: [Int], _ changes: KeyValuePairs<String, JSON> = [:]
  ) -> SpelledNetwork {
    let count = channels.count - 1
    var object: JSONObject = [
      "block_out_channels": .array(channels.map { .integer($0) }), "cross_attention_dim": 768,
      "down_block_types": .array(
        .init(repeating: "CrossAttnDownBlock2D", count: count) + ["DownBlock2D"]),
      "up_block_types": .array(
        ["UpBlock2D"] + .init(repeating: "CrossAttnUpBlock2D", count: count)),
    ]
    for (key, value) in changes { object[key] = value }
    return SpelledNetwork(size: size, architecture: .unet, configuration: object)
  }
}
