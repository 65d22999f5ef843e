import ModelFormats

/// What a UNet takes beside the latents that it denoises, by the number of its input channels.
enum UNetInputs: Hashable {
  case latents
  /// A mask, and the latents of the picture without what it covers.
  case inpainting
  /// The latents of the picture that an instruction changes: InstructPix2Pix.
  case picture
  /// A depth map of the picture at the size of the latents: Stable Diffusion 2's depth model.
  case depth
  case unknown(Int)

  init(channels: Int, latents: Int) {
    switch channels - latents {
    case 0: self = .latents
    case 1 + latents: self = .inpainting
    case latents: self = .picture
    case 1: self = .depth
    default: self = .unknown(channels)
    }
  }

  /// Why it is not drawn with though everything else is known: what is missing.
  var refusal: (message: String, hint: Remedy)? {
    let hint: Remedy = "the model can be inspected, converted and exported to ONNX"
    switch self {
    case .picture:
      return (
        "this InstructPix2Pix UNet needs the latents of an input image and image guidance, which is"
          + " not supported", hint
      )
    case .depth:
      return (
        "this depth-to-image UNet needs a depth map (from MiDaS), which is not supported", hint
      )
    case .latents, .inpainting, .unknown: return nil
    }
  }
}
