import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport

/// The bundled model with a small safety checker that flags every image.
enum CheckedModel {
  private static let configuration: JSONObject = [
    "architectures": ["StableDiffusionSafetyChecker"], "projection_dim": 8,
    "vision_config": [
      "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
      "image_size": 32, "patch_size": 16, "hidden_act": "quick_gelu",
    ],
  ]

  /// Makes the repository `model` in a directory; the bundled model's files are linked.
  ///
  /// - Returns: its path.
  static func make(in folder: String) throws -> String {
    let files = FileManager.default
    let model = "\(folder)/model"
    let source = Fixtures.path("shapes-v2")
    try files.createDirectory(atPath: model, withIntermediateDirectories: true)
    for name in ["text_encoder", "unet", "vae", "tokenizer", "scheduler", "model_index.json"] {
      try files.createSymbolicLink(
        atPath: "\(model)/\(name)", withDestinationPath: "\(source)/\(name)")
    }
    let checker = "\(model)/safety_checker"
    try files.createDirectory(atPath: checker, withIntermediateDirectories: true)
    try Data(JSON.object(configuration).text().utf8)
      .write(to: URL(filePath: "\(checker)/config.json"))
    let graph = try SafetyChecker.graph(SafetyCheckerConfiguration(configuration))
    let tensors = (graph.parameters + graph.buffers.filter { !$0.name.hasSuffix("position_ids") })
      .map { parameter in
        // Every cosine is above a threshold of -1.
        let isThreshold = parameter.name.hasSuffix("_embeds_weights")
        return floats(parameter.name, parameter.shape) { isThreshold ? -1 : Float(sin(Double($0))) }
      }
    try Safetensors.write(tensors, to: "\(checker)/model.safetensors")
    return model
  }

  /// A tensor of single-precision values by their positions.
  static func floats(_ name: String, _ shape: [Int], _ value: (Int) -> Float) -> Tensor {
    let bytes = (0..<shape.reduce(1, *)).flatMap { index in
      withUnsafeBytes(of: value(index).bitPattern.littleEndian) { Array($0) }
    }
    return Tensor(name: name, dtype: .float32, shape: Shape(shape), storage: .memory(bytes))
  }
}
