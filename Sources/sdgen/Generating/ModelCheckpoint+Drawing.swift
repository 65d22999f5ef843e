import Checkpoint
import Diffusion
import ModelFormats
import Terminal

extension ModelCheckpoint {
  /// Opens a model for generation, as ``EmbeddedModel/open(orCheckpointAt:variant:)``.
  ///
  /// - Parameters:
  ///   - path: the model; nil for the bundled one.
  ///   - variant: which weights of a diffusers directory are read.
  ///   - vae: a checkpoint whose VAE replaces the model's.
  /// - Throws: ``FormatError``; ``Failure`` for a file that goes with a model, naming its option.
  static func toDraw(
    _ path: String?, variant: String? = nil, vae: String? = nil
  ) throws -> ModelCheckpoint {
    let opened = try EmbeddedModel.open(orCheckpointAt: path, variant: variant)
    try opened.requireModel()
    guard let vae else { return opened }
    return try opened.replacingVAE(with: ModelCheckpoint.open(vae))
  }

  /// Rejects files that are used with a model, not as one.
  private func requireModel() throws(Failure) {
    guard self[.unet] == nil, self[.unetEMA] == nil else { return }
    let recognition = Recognition(self)
    let field: JobField
    switch recognition.kind {
    case .lora: field = .lora
    case .controlNet: field = .control
    case .vae: field = .vae
    case .tinyAutoencoder: field = .tinyVAE
    case .textualInversion: field = .embedding
    default: return
    }
    throw Failure(
      .data, code: "mismatch", "this file alone cannot generate images: \(recognition.title)",
      file: path,
      hint: "pass the model with --model, and this file with --\(field.name)")
  }
}
