import ModelFormats

/// Adapters and small networks, recognized by their own names.
extension Recognition {
  /// LoRA files, textual inversion embeddings and hypernetworks.
  static func adapter(
    _ names: RecognizedNames, metadata: [(key: String, value: String)]
  ) -> Recognition? {
    lora(names, metadata: metadata) ?? textualInversion(names) ?? hypernetwork(names)
  }

  // MARK: Textual inversion

  private static func textualInversion(_ names: RecognizedNames) -> Recognition? {
    guard let file = TextualInversionFile(names.tensors) else { return nil }
    return Recognition(.textualInversion, file.title, file.reasons)
  }

  // MARK: Hypernetworks

  /// Pairs of small networks by the width of the states they modify: `768.0.linear.0.weight`.
  private static func hypernetwork(_ names: RecognizedNames) -> Recognition? {
    let members = names.tensors.filter { tensor in
      let parts = tensor.name.split(separator: ".")
      return parts.count >= 4 && [320, 640, 768, 1024, 1280].contains(Int(parts[0]) ?? 0)
        && ["0", "1"].contains(parts[1]) && parts[2].hasPrefix("linear")
    }
    guard let first = members.first, members.count * 2 > names.tensors.count else { return nil }
    return Recognition(
      .hypernetwork, "hypernetwork",
      ["\(first.shown): one of \(members.count) tensors of small networks by the width they act on"]
    )
  }

  // MARK: Small networks

  static func small(_ names: RecognizedNames) -> Recognition? {
    tinyAutoencoder(names) ?? latentPreview(names)
  }

  /// TAESD and similar: a sequence of blocks of three convolutions with 64 channels.
  private static func tinyAutoencoder(_ names: RecognizedNames) -> Recognition? {
    let block = names.tensors.first { tensor in
      let parts = tensor.name.split(separator: ".")
      return parts.count >= 4 && parts.suffix(3).elementsEqual(["conv", "0", "weight"])
        && Int(parts[parts.count - 4]) != nil && tensor.shape.rank == 4
        && tensor.shape[0] == tensor.shape[1]
    }
    guard let block else { return nil }
    return Recognition(
      .tinyAutoencoder, "tiny autoencoder (as TAESD)",
      ["\(block.shown): the first convolution of a block of three, as in TAESD"])
  }

  /// The eight plain convolutions with which A1111 previews latents.
  private static func latentPreview(_ names: RecognizedNames) -> Recognition? {
    guard
      (1...8).allSatisfy({ index in names.first(where: { $0 == "conv\(index).weight" }) != nil }),
      let input = names.first(where: { $0 == "conv1.weight" }), input.shape.rank == 4
    else { return nil }
    return Recognition(
      .latentPreview, "latent preview (VAE-approx)",
      ["\(input.shown): the first of eight plain convolutions from latents to a preview"])
  }
}
