import Checkpoint
import ModelFormats

/// Latents from a file, to be decoded.
package struct SavedLatents: Sendable {
  /// The tensor's name.
  package let name: String
  /// As stored.
  package let latents: Latents
  /// Whether they are in the VAE's own scale instead of the UNet's, as ComfyUI writes them.
  package let isUnscaled: Bool

  /// Reads a tensor of a safetensors or PyTorch file, `[batch, channels, height, width]` in a
  /// floating-point dtype.
  ///
  /// - Parameter name: the tensor's name; nil for `latents`, otherwise ComfyUI's `latent_tensor`,
  ///   otherwise the only tensor.
  /// - Throws: ``FormatError`` `mismatch` if there is no such tensor or it is not of this form; as
  ///   ``ModelFormats/TensorFile/open(_:)`` for an invalid file.
  package init(at path: String, tensor name: String? = nil) throws(FormatError) {
    let file = try TensorFile.open(path)
    let found: Tensor?
    if let name {
      found = file[name]
    } else {
      let only = file.tensors.count == 1 ? file.tensors.first : nil
      found = file["latents"] ?? file[Self.comfyUI] ?? only
    }
    guard let found else {
      let names = file.tensors.prefix(8).map(\.name).joined(separator: ", ")
      throw FormatError(
        .mismatch, "no tensor named \(name ?? "latents"); the file has \(names)", file: path,
        hint: "name the tensor that contains latents")
    }
    self.name = found.name
    latents = try Latents(found, path: path)
    // Source: ComfyUI, whose files have an empty tensor as a mark of this scale.
    isUnscaled = found.name == Self.comfyUI && file[Self.comfyUIMark] != nil
  }

  private static let comfyUI = "latent_tensor"
  private static let comfyUIMark = "latent_format_version_0"

  /// The latents of one picture in the UNet's scale.
  package func picture(_ index: Int, _ scale: LatentScale) -> Latents {
    let picture = latents.picture(index)
    return isUnscaled ? scale.applied(to: picture) : picture
  }
}
