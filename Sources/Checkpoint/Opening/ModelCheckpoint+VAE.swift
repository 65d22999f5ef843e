import ModelFormats
import OrderedJSON

extension ModelCheckpoint {
  /// The checkpoint with another one's VAE in place of its own.
  ///
  /// A VAE without a `config.json` does not tell the scaling factor of its latents: it keeps that of
  /// the VAE that it replaces.
  ///
  /// - Throws: ``FormatError`` `mismatch` if the other one has no VAE, or not a complete one.
  public func replacingVAE(with other: ModelCheckpoint) throws(FormatError) -> ModelCheckpoint {
    guard other[.vae] != nil else {
      throw FormatError(
        .mismatch, "this is \(Recognition(other).title); it has no VAE", file: other.path,
        hint: "give a VAE, or a model that has one")
    }
    let vae = try other.require(.vae).scaled(as: self[.vae])
    var result = self
    if let index = components.firstIndex(where: { $0.name == .vae }) {
      result.components[index] = vae
    } else {
      result.components.append(vae)
    }
    result.warnings += other.warnings.filter { !warnings.contains($0) }
    return result
  }
}

extension Component {
  /// The VAE with the scaling factor of another one if its configuration was inferred.
  fileprivate func scaled(as other: Component?) -> Component {
    guard let configuration, configuration.origin == .inferred,
      let factor = other?.configuration?.object["scaling_factor"],
      factor != configuration.object["scaling_factor"]
    else { return self }
    var object = configuration.object
    object["scaling_factor"] = factor
    return Component(
      name: name, architecture: architecture,
      configuration: Configuration(object: object, path: configuration.path, origin: .inferred),
      path: path, files: files, format: format, metadata: metadata, tensors: tensors,
      findings: findings)
  }
}
