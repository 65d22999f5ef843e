import Checkpoint
import Foundation
import ModelFormats
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// The bundled model as a single file, and variations of it.
struct SingleFile {
  static let unet = "model.diffusion_model."
  static let vae = "first_stage_model."
  static let text = "cond_stage_model.transformer.text_model."
  static let positionIDs = text + "embeddings.position_ids"

  let tensors: [Tensor]
  let metadata: [(key: String, value: String)]

  init(in scratch: Scratch) throws {
    let path = scratch.path("single-\(UUID().uuidString)")
    try LayoutTests.convert(LayoutTests.model, to: .ldm, at: path)
    let file = try TensorFile.open(path)
    tensors = file.tensors
    metadata = file.metadata
    // The file stays mapped.
    try FileManager.default.removeItem(atPath: path)
  }

  /// Writes a file of tensors without metadata, each renamed by `change` or, if that is nil, left
  /// out, plus other tensors.
  @discardableResult
  func write(
    _ name: String, in scratch: Scratch, metadata: [(key: String, value: String)] = [],
    adding others: [Tensor] = [], _ change: (Tensor) -> Tensor? = { $0 }
  ) throws -> String {
    try Safetensors.write(
      tensors.compactMap(change) + others, metadata: metadata, to: scratch.path(name))
    return scratch.path(name)
  }

  /// The tensors below a prefix, without it.
  func network(_ prefix: String) -> [Tensor] {
    tensors.filter { $0.name.hasPrefix(prefix) }
      .map { $0.renamed(String($0.name.dropFirst(prefix.count))) }
  }

  /// The UNet's tensors under their averaged names.
  var averages: [Tensor] {
    network("model.").filter { $0.name.hasPrefix("diffusion_model.") }
      .map { $0.renamed("model_ema." + $0.name.filter { $0 != "." }) }
  }
}

extension Tensor {
  /// The same with a part of the name replaced.
  func replacing(_ part: String, _ other: String) -> Tensor {
    renamed(name.replacingOccurrences(of: part, with: other))
  }

  /// The same with every value zero.
  var zeroed: Tensor { .zeros(name, dtype, shape) }
}
