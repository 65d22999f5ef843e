import ModelFormats

/// The additional inputs of a UNet, by its number of input channels.
enum UNetInputs: Hashable {
  case latents
  /// A mask, and the masked-image latents.
  case inpainting
  /// The latents of the image to edit: InstructPix2Pix.
  case picture
  /// A depth map at latent resolution: Stable Diffusion 2's depth model.
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

  /// Why such a UNet is not supported although its inputs are known.
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
