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
  var refusal: (message: String, hint: String)? {
    let hint = "the model can be inspected, converted and exported to ONNX"
    switch self {
    case .picture:
      return (
        "this UNet takes the latents of a picture beside its own (InstructPix2Pix), and guidance by"
          + " that picture, which are not supported here", hint
      )
    case .depth:
      return (
        "this UNet takes a depth map beside the latents (depth to image), which another model"
          + " (MiDaS) makes of a picture; that is not supported here", hint
      )
    case .latents, .inpainting, .unknown: return nil
    }
  }
}
