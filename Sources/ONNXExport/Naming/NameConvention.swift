import ModelFormats
import ModelGraph

/// The naming convention of a model's inputs, outputs and directory.
public enum NameConvention: String, Sendable, Hashable, CaseIterable {
  /// optimum's exporter, loaded by ORTStableDiffusionPipeline.
  case optimum
  /// TensorRT's demo (`demo/Diffusion`), which finds the models in its `--onnx-dir`.
  case nvidia
  /// ComfyUI's TensorRT nodes, which run the UNet only.
  case comfy

  /// The interface of the network with this name.
  ///
  /// - Throws: ``FormatError`` `unsupported` where the convention has no such network.
  func interface(of network: GraphName) throws(FormatError) -> Interface {
    switch (self, network) {
    case (.optimum, .vaeDecoder):
      return Interface(directory: network.rawValue, height: "latent_height", width: "latent_width")
    case (.optimum, .vaeEncoder):
      return Interface(directory: network.rawValue, height: "sample_height", width: "sample_width")
    case (.optimum, _):
      return Interface(directory: network.rawValue)
    case (.nvidia, _):
      return NameConvention.demonstration(network)
    case (.comfy, .unet):
      var interface = Interface(directory: network.rawValue)
      interface.names = [
        "sample": "x", "timestep": "timesteps", "encoder_hidden_states": "context",
        "out_sample": "h",
      ]
      interface.symbols[.batch] = "batch"
      interface.symbols[.sequence] = "num_embeds"
      interface.timestep = .batch
      return interface
    case (.comfy, _):
      throw FormatError(
        .unsupported, "ComfyUI's convention only names the UNet", context: network.rawValue,
        hint:
          "export it with \(set: .naming, "optimum"), or choose \(set: .components, GraphName.unet.rawValue)"
      )
    }
  }

  private static func demonstration(_ network: GraphName) -> Interface {
    var interface = Interface(directory: "\(network).opt", height: "H", width: "W")
    interface.multiplies = true
    interface.symbols[.batch] = network == .unet ? "2B" : "B"
    interface.timestep = .vector
    interface.ids = .int32
    interface.hasPooledOutput = false
    interface.sequence = 77
    switch network {
    case .textEncoder:
      interface.directory = "clip.opt"
      interface.names = ["last_hidden_state": "text_embeddings"]
    case .vaeDecoder:
      interface.directory = "vae.opt"
      interface.names = ["latent_sample": "latent", "sample": "images"]
    case .vaeEncoder:
      interface.names = ["sample": "images", "latent_parameters": "latent"]
      interface.givesMeans = true
    default:
      interface.names = ["out_sample": "latent"]
    }
    return interface
  }
}

/// One network's inputs, outputs and directory in a convention.
struct Interface: Sendable, Hashable {
  /// The model's directory in the output directory.
  var directory: String
  /// Names of inputs and outputs, by the graph's names, if they differ.
  var names: [String: String] = [:]
  /// Names of sizes that are known at run time.
  var symbols: [Symbol: String]
  /// Whether eight times `H` is written `8H`, not `H * 8`.
  var multiplies = false
  var timestep = ExportOptions.TimestepShape.scalar
  /// The type of token ids.
  var ids = ONNXModel.Element.int64
  var hasPooledOutput = true
  /// Whether the VAE encoder outputs only the means instead of means and variances.
  var givesMeans = false
  /// The number of tokens, if it is constant.
  var sequence: Int?

  init(directory: String, height: String = "height", width: String = "width") {
    self.directory = directory
    symbols = [
      .batch: "batch_size", .sequence: "sequence_length", .height: height, .width: width,
    ]
  }

  func name(_ name: String) -> String { names[name] ?? name }

  /// The shape of an input. If the convention requires it, inputs shared by all images of a batch
  /// have one row per image: the timestep, and the guidance scale embedding.
  func shape(of input: Graph.Value, in graph: Graph) -> [Dimension] {
    let batch = graph[graph.inputs[0]].shape[..<1]
    switch input.name {
    case "timestep":
      switch timestep {
      case .scalar: return []
      case .vector: return [1]
      case .batch: return Array(batch)
      }
    case "timestep_cond": return Array(batch + input.shape.dropFirst())
    default: return input.shape
    }
  }
}
