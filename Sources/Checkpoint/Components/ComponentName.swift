import FlatFormat

/// The name of a part of a pipeline: its directory in a repository.
public struct ComponentName: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
  public let rawValue: String

  public init(rawValue: String) {
    self.rawValue = rawValue
  }

  /// The CLIP text encoder.
  public static let textEncoder = ComponentName(rawValue: "text_encoder")
  /// The UNet, which predicts the noise.
  public static let unet = ComponentName(rawValue: "unet")
  /// The autoencoder between images and latents.
  public static let vae = ComponentName(rawValue: "vae")
  /// The EMA weights of the UNet in training checkpoints.
  public static let unetEMA = ComponentName(rawValue: "unet_ema")
  /// The larger of the two text encoders of SDXL.
  public static let secondTextEncoder = ComponentName(rawValue: "text_encoder_2")
  /// A ControlNet.
  public static let controlNet = ComponentName(rawValue: "controlnet")
  /// The safety checker of generated images.
  public static let safetyChecker = ComponentName(rawValue: "safety_checker")
  /// A small replacement for the VAE.
  public static let tinyAutoencoder = ComponentName(rawValue: "tiny_vae")
  /// The denoiser of models without a UNet.
  public static let transformer = ComponentName(rawValue: "transformer")
  /// An encoder of images, such as a CLIP vision model.
  public static let imageEncoder = ComponentName(rawValue: "image_encoder")
  /// A file whose tensors belong to no known network.
  public static let model = ComponentName(rawValue: "model")
  /// Tensors of a single-file checkpoint outside all networks: the noise schedule.
  public static let other = ComponentName(rawValue: "other")

  /// What Stable Diffusion cannot do without, in the order in which a picture needs them.
  public static let required: [ComponentName] = NetworkDescriptor.all
    .filter { $0.role == .required }.map(\.component)

  /// The EMA weights of the component, stored next to it in training checkpoints.
  var averages: ComponentName { ComponentName(rawValue: rawValue + "_ema") }

  /// The component of which these are the EMA weights; nil for others.
  package var averaged: ComponentName? {
    rawValue.hasSuffix("_ema") && rawValue.utf8.count > 4
      ? ComponentName(rawValue: String(rawValue.dropLast(4))) : nil
  }

  /// As text in a sentence: "UNet".
  public var title: String {
    if let network = NetworkDescriptor(component: self) { return network.title }
    return switch self {
    case .secondTextEncoder: "second text encoder"
    default: averaged.map { "averaged \($0.title)" } ?? rawValue
    }
  }

  public var description: String { rawValue }

  /// Whether it may name a directory: letters, digits, `_`, `-` and `.`, not starting with a dot.
  package var isValid: Bool { FlatHeader.isComponentName(rawValue) }
}
