import FlatFormat

/// The name of a part of a pipeline: its directory in a repository.
public struct ComponentName: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
  public let rawValue: String

  public init(rawValue: String) {
    self.rawValue = rawValue
  }

  public static let textEncoder = ComponentName(rawValue: "text_encoder")
  public static let unet = ComponentName(rawValue: "unet")
  public static let vae = ComponentName(rawValue: "vae")
  /// The averaged UNet weights that training checkpoints carry beside the last ones.
  public static let unetEMA = ComponentName(rawValue: "unet_ema")
  /// The larger of the two text encoders of SDXL.
  public static let secondTextEncoder = ComponentName(rawValue: "text_encoder_2")
  /// The copy of half a UNet that lets a picture guide it.
  public static let controlNet = ComponentName(rawValue: "controlnet")
  /// What a picture is looked at with before it is given out.
  public static let safetyChecker = ComponentName(rawValue: "safety_checker")
  /// A small stand-in for the VAE.
  public static let tinyAutoencoder = ComponentName(rawValue: "tiny_vae")
  /// What denoises in models that have no UNet.
  public static let transformer = ComponentName(rawValue: "transformer")
  /// What turns a picture into hidden states, as a CLIP vision model does.
  public static let imageEncoder = ComponentName(rawValue: "image_encoder")
  /// A file whose tensors are of no known network.
  public static let model = ComponentName(rawValue: "model")
  /// Tensors of a single-file checkpoint outside all networks: the noise schedule.
  public static let other = ComponentName(rawValue: "other")

  /// What Stable Diffusion cannot do without, in the order in which a picture needs them.
  public static let required: [ComponentName] = NetworkDescriptor.all
    .filter { $0.role == .required }.map(\.component)

  /// The averages of the component, which a training checkpoint holds beside it.
  var averages: ComponentName { ComponentName(rawValue: rawValue + "_ema") }

  /// What it holds the averages of; nil where it holds none.
  package var averaged: ComponentName? {
    rawValue.hasSuffix("_ema") && rawValue.utf8.count > 4
      ? ComponentName(rawValue: String(rawValue.dropLast(4))) : nil
  }

  /// As text in a sentence: "UNet".
  public var title: String {
    if let network = NetworkDescriptor(component: self) { return network.title }
    return switch self {
    case .secondTextEncoder: "second text encoder"
    case .imageEncoder: "image encoder"
    default: averaged.map { "averaged \($0.title)" } ?? rawValue
    }
  }

  public var description: String { rawValue }

  /// Whether it may name a directory: letters, digits, `_`, `-` and `.`, not starting with a dot.
  package var isValid: Bool { FlatHeader.isComponentName(rawValue) }
}
