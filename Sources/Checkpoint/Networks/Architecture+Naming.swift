import ModelGraph

extension Architecture {
  /// All namings of this network in files, the likeliest first.
  ///
  /// No two parameters of a network share a name in any two of them, so a tensor's name identifies
  /// the parameter.
  package var namings: [Naming] {
    switch self {
    case .textEncoder:
      let single = [
        "cond_stage_model.transformer.", "text_encoders.clip_l.transformer.",
        "conditioner.embedders.0.transformer.",
      ]
      return ["", "text_encoder."].flatMap(Architecture.both(.published))
        + single.flatMap(Architecture.both(.singleFile))
    case .unet:
      return ["", "unet."].map { Naming(.published, prefix: $0) }
        + ["model.diffusion_model.", "diffusion_model.", "unet.", ""].flatMap(
          Architecture.both(.singleFile))
    case .vae:
      // Attention has three spellings in diffusers' layout, four in single files.
      return ["", "vae."].flatMap { Architecture.spelled(.published, $0, 0...2) }
        + ["first_stage_model.", "vae.", ""].flatMap {
          Architecture.spelled(.singleFile, $0, 0...3)
        }
    case .controlNet:
      return [Naming.published] + ["control_model.", ""].map { Naming(.singleFile, prefix: $0) }
    case .safetyChecker:
      return Architecture.both(.published)("")
    case .tinyAutoencoder:
      // The older spelling occurs in files with only one half.
      return [Naming.published] + Architecture.both(.singleFile)("")
    }
  }

  /// Namings in which several parameters share a tensor; files with these are read separately.
  package var joinedNamings: [Naming] {
    self == .textEncoder ? [Architecture.openCLIP] : []
  }

  /// The naming of the text encoder in original single files of Stable Diffusion 2.
  package static let openCLIP = Naming(.openCLIP, prefix: "cond_stage_model.model.")

  /// The naming of EMA weights in training checkpoints.
  package static let average = Naming(.average, prefix: "model_ema.")

  private static func both(_ family: Naming.Family) -> (String) -> [Naming] {
    { spelled(family, $0, 0...1) }
  }

  private static func spelled(
    _ family: Naming.Family, _ prefix: String, _ spellings: ClosedRange<Int>
  ) -> [Naming] {
    spellings.map { Naming(family, prefix: prefix, spelling: $0) }
  }
}
