import ModelFormats
import ModelGraph
import OrderedJSON

/// Whole networks: told by what their graphs or their configurations are built of.
extension Recognition {
  static func network(_ checkpoint: ModelCheckpoint) -> Recognition? {
    let names = RecognizedNames(checkpoint.components.flatMap(\.tensors))
    if let hint = names.first(endingWith: controlMarks), checkpoint[.unet] == nil {
      return Recognition(
        .controlNet, "ControlNet",
        ["\(hint.shown): a ControlNet's embedding of its picture"] + promptReasons(names).reasons)
    }
    if let unet = checkpoint[.unet] { return model(checkpoint, unet, names) }
    if let vae = checkpoint[.vae] {
      return Recognition(.vae, "VAE alone", vaeReasons(vae))
    }
    if let text = checkpoint[.textEncoder] {
      let embedding = text.tensors.first { $0.name.hasSuffix("token_embedding.weight") }
      return Recognition(
        .textEncoder, "text encoder alone",
        embedding.map {
          ["\($0.shown): \($0.shape.dimensions.first ?? 0) tokens, each \($0.shape.last) wide"]
        } ?? [])
    }
    return nil
  }

  private static let controlMarks = [
    "controlnet_cond_embedding.conv_in.weight", "input_hint_block.0.weight",
  ]

  private static func model(
    _ checkpoint: ModelCheckpoint, _ unet: Component, _ names: RecognizedNames
  ) -> Recognition {
    let parts = ComponentName.required.filter { checkpoint[$0] != nil }
    let alone = parts.count == 1 ? ", UNet alone" : ""
    let own = RecognizedNames(unet.tensors)
    if let mark = own.first(endingWith: ["label_emb.0.0.weight", "add_embedding.linear_1.weight"]) {
      return Recognition(
        .stableDiffusionXL, "Stable Diffusion XL" + alone,
        ["\(mark.shown): sizes and a pooled prompt are embedded, as in SDXL alone"])
    }
    let (width, promptReasons) = promptReasons(own)
    let (channels, inputReasons) = inputReasons(own)
    let reasons = promptReasons + inputReasons + widthReasons(unet)
    let isPublishedWidth = unet.isOfPublishedWidth
    switch (width, channels) {
    case (768, 4) where isPublishedWidth:
      return Recognition(.stableDiffusion1, "Stable Diffusion 1.x" + alone, reasons)
    case (768, 9) where isPublishedWidth:
      return Recognition(
        .stableDiffusion1Inpainting, "Stable Diffusion 1.x inpainting" + alone, reasons)
    case (1024, 4) where isPublishedWidth:
      let (title, reason) = prediction(checkpoint)
      return Recognition(
        .stableDiffusion2, "Stable Diffusion 2.x" + title + alone, reasons + [reason])
    case (1024, 9) where isPublishedWidth:
      return Recognition(
        .stableDiffusion2Inpainting, "Stable Diffusion 2.x inpainting" + alone, reasons)
    default:
      return Recognition(
        .stableDiffusionVariant, "a network built as Stable Diffusion is, of other widths" + alone,
        reasons)
    }
  }

  /// How wide the prompt's hidden states are.
  private static func promptReasons(
    _ names: RecognizedNames
  ) -> (width: Int, reasons: [String]) {
    guard let key = names.first(endingWith: ["attn2.to_k.weight"]), key.shape.rank == 2 else {
      return (0, [])
    }
    let family =
      switch key.shape.last {
      case 768: ", as in SD 1.x"
      case 1024: ", as in SD 2.x"
      case 2048: ", as in SDXL"
      default: ""
      }
    return (key.shape.last, ["\(key.shown): prompts are \(key.shape.last) wide\(family)"])
  }

  /// How many channels go in.
  private static func inputReasons(
    _ names: RecognizedNames
  ) -> (channels: Int, reasons: [String]) {
    guard
      let input = names.first(where: {
        $0 == "conv_in.weight" || $0.hasSuffix("input_blocks.0.0.weight")
          || $0.hasSuffix("unet.conv_in.weight")
      }), input.shape.rank == 4
    else { return (0, []) }
    let channels = input.shape[1]
    let meaning =
      switch channels {
      case 4: "4 latent channels go in"
      case 9: "9 channels go in: latents, a masked picture's latents and the mask"
      case 8: "8 channels go in: latents and a picture's latents, as in InstructPix2Pix"
      case 5: "5 channels go in: latents and a depth map"
      default: "\(channels) channels go in"
      }
    return (channels, ["\(input.shown): \(meaning)"])
  }

  private static func widthReasons(_ unet: Component) -> [String] {
    guard let channels = unet.blockChannels else { return [] }
    let widths = channels.map(String.init).joined(separator: ", ")
    return [
      "its levels have \(widths) channels"
        + (unet.isOfPublishedWidth ? "" : "; those of Stable Diffusion have 320, 640, 1280, 1280")
    ]
  }

  /// What an SD 2.x UNet predicts is no part of its tensors.
  private static func prediction(_ checkpoint: ModelCheckpoint) -> (title: String, reason: String) {
    let scheduler = try? checkpoint.file(named: "scheduler/scheduler_config.json")?.jsonObject()
    guard let type = scheduler?["prediction_type"]?.string else {
      return (
        "",
        "whether it predicts noise or velocity (v-prediction) is not known: tensors do not tell, "
          + "and there is no scheduler_config.json that does"
      )
    }
    return (
      type == "v_prediction" ? " (v-prediction)" : "",
      "scheduler/scheduler_config.json: prediction_type is \(type)"
    )
  }

  private static func vaeReasons(_ vae: Component) -> [String] {
    ["encoder.conv_in.weight", "decoder.conv_in.weight"].compactMap { name in
      vae.tensors.first { $0.name.hasSuffix(name) }.map { tensor in
        let channels = tensor.shape.rank == 4 ? tensor.shape[1] : 0
        return name.hasPrefix("encoder")
          ? "\(tensor.shown): pictures of \(channels) channels are encoded"
          : "\(tensor.shown): latents of \(channels) channels are decoded"
      }
    }
  }
}

extension Component {
  /// The channels of a UNet's levels, where they are known.
  fileprivate var blockChannels: [Int]? {
    configuration?.object["block_out_channels"]?.array?.compactMap(\.int)
  }

  /// Whether a UNet has the widths of all Stable Diffusion up to 2.x.
  fileprivate var isOfPublishedWidth: Bool { blockChannels == [320, 640, 1280, 1280] }
}

extension Shape {
  /// The innermost dimension; 0 where there is none.
  var last: Int { dimensions.last ?? 0 }
}
