import ModelFormats

/// What is put on top of a model, and small networks beside it: told by words of their own.
extension Recognition {
  /// LoRA files, textual inversion embeddings and hypernetworks.
  static func adapter(_ names: RecognizedNames) -> Recognition? {
    lora(names) ?? textualInversion(names) ?? hypernetwork(names)
  }

  // MARK: LoRA

  /// The first factor of a product that is added to a weight, in the spellings of kohya,
  /// diffusers, peft and LyCORIS.
  private static let factors: [(suffix: String, by: String)] = [
    (".lora_down.weight", "kohya"), (".lora_A.weight", "peft"),
    (".lora_A.default.weight", "peft"), (".lora.down.weight", "diffusers"),
    ("_lora.down.weight", "diffusers"), (".lora_linear_layer.down.weight", "diffusers"),
    (".hada_w1_a", "LyCORIS LoHa"), (".lokr_w1", "LyCORIS LoKr"),
    (".lokr_w1_a", "LyCORIS LoKr"),
  ]

  private static func lora(_ names: RecognizedNames) -> Recognition? {
    let pairs = names.tensors.filter { tensor in
      factors.contains { tensor.name.hasSuffix($0.suffix) }
    }
    // A model may carry a few; a LoRA file is made of little else.
    guard let first = pairs.first, pairs.count * 6 >= names.tensors.count else { return nil }
    let author = factors.first { first.name.hasSuffix($0.suffix) }?.by ?? ""
    var reasons = [
      "\(first.shown): one of \(pairs.count) low-rank factors, named as \(author) does"
    ]
    let ranks = Set(pairs.filter { $0.shape.rank >= 2 }.map { $0.shape[0] }).sorted()
    if author.hasPrefix("LyCORIS") == false, let low = ranks.first, let high = ranks.last {
      reasons.append(low == high ? "its rank is \(low)" : "its ranks go from \(low) to \(high)")
    }
    let text = pairs.count {
      $0.name.hasPrefix("lora_te") || $0.name.hasPrefix("text_encoder.")
        || $0.name.hasPrefix("text_model.")
    }
    reasons.append(
      text == 0
        ? "it changes the UNet alone"
        : text == pairs.count
          ? "it changes the text encoder alone"
          : "it changes \(pairs.count - text) weights of the UNet and \(text) of the text encoder")
    var title = "LoRA"
    let key = pairs.first { $0.name.contains("attn2") && $0.name.contains("to_k") }
    if let key, key.shape.rank == 2, !author.hasPrefix("LyCORIS") {
      title += family(ofWidth: key.shape[1]).map { " for \($0)" } ?? ""
      reasons.append("\(key.shown): prompts are \(key.shape[1]) wide")
    }
    return Recognition(.lora, title, reasons)
  }

  private static func family(ofWidth width: Int) -> String? {
    switch width {
    case 768: "Stable Diffusion 1.x"
    case 1024: "Stable Diffusion 2.x"
    case 2048: "Stable Diffusion XL"
    default: nil
    }
  }

  // MARK: Textual inversion

  private static func textualInversion(_ names: RecognizedNames) -> Recognition? {
    guard let file = TextualInversionFile(names.tensors) else { return nil }
    return Recognition(.textualInversion, file.title, file.reasons)
  }

  // MARK: Hypernetworks

  /// Pairs of small networks by the width of what they act on: `768.0.linear.0.weight`.
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

  /// TAESD and its kin: a sequence of blocks of three convolutions 64 channels wide.
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

  /// The eight plain convolutions by which A1111 previews latents.
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
