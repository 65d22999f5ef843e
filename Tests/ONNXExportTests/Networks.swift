import Checkpoint
import ModelFormats
import ModelGraph
import ONNXExport
import OrderedJSON
import TestSupport
import Testing

/// The networks of the published SD v1.5, from the fields of its configurations that shape them.
enum Published {
  static let unet: JSON = [
    "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2, "attention_head_dim": 8, "cross_attention_dim": 768,
    "norm_num_groups": 32, "norm_eps": 1e-05,
    "down_block_types": [
      "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D",
    ],
    "up_block_types": [
      "UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D",
    ],
  ]
  static let vae: JSON = [
    "block_out_channels": [128, 256, 512, 512], "in_channels": 3, "latent_channels": 4,
    "layers_per_block": 2, "norm_num_groups": 32, "out_channels": 3,
    "down_block_types": [
      "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D",
    ],
    "up_block_types": [
      "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
    ],
  ]
  static let text: JSON = [
    "hidden_act": "quick_gelu", "hidden_size": 768, "intermediate_size": 3072,
    "num_attention_heads": 12, "num_hidden_layers": 12, "vocab_size": 49408,
  ]
  static let names: [GraphName] = [.textEncoder, .unet, .vaeDecoder, .vaeEncoder]

  static func graph(_ name: GraphName) throws -> Graph {
    switch name {
    case .unet: try UNet.graph(UNetConfiguration(#require(unet.object)))
    case .vaeDecoder: try VAE.decoder(VAEConfiguration(#require(vae.object)))
    case .vaeEncoder: try VAE.encoder(VAEConfiguration(#require(vae.object)))
    default: try CLIPText.graph(CLIPTextConfiguration(#require(text.object)))
    }
  }

  /// The network's model; its weights are declared to be in a missing file.
  static func model(
    _ name: GraphName, _ options: ExportOptions = ExportOptions(),
    element: ONNXModel.Element = .float32
  ) throws -> ONNXModel {
    try model(graph(name), options, element: element)
  }

  static func model(
    _ graph: Graph, _ options: ExportOptions = ExportOptions(),
    element: ONNXModel.Element = .float32
  ) throws -> ONNXModel {
    var offset = 0
    let weights = graph.parameters.map { parameter in
      let length = parameter.elementCount * element.size
      defer { offset += length }
      return ONNXModel.Initializer(
        name: parameter.name, element: element, shape: parameter.shape,
        contents: .external(
          ONNXModel.ExternalData(location: "weights", offset: offset, length: length)))
    }
    return try ONNXExporter.model(
      of: graph, weights: weights, endOfText: graph.name == .textEncoder ? 49_407 : nil,
      options: options)
  }
}

/// The networks of a repository, as the command line hands them to the exporter.
func sources(_ path: String, _ names: [GraphName] = Published.names) throws -> [NetworkSource] {
  let checkpoint = try ModelCheckpoint.open(path)
  return try names.map { name in
    let component = try checkpoint.require(
      [.vaeDecoder, .vaeEncoder].contains(name) ? .vae : ComponentName(rawValue: name.rawValue))
    return NetworkSource(
      graph: try component.graph(name),
      configuration: checkpoint.file(named: "\(component.name)/config.json")?.bytes
    ) { parameter throws(FormatError) in
      try component.tensor(for: parameter)
    }
  }
}
