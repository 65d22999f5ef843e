import Engine
import Pictures

/// A value that is one of a few names.
public protocol JobChoice: RawRepresentable<String>, Sendable, Hashable {
  /// The values that a job may name.
  static var choices: [Self] { get }
}

extension JobChoice where Self: CaseIterable {
  /// All values.
  public static var choices: [Self] { Array(allCases) }
}

extension JobChoice {
  /// The value of a name; nil if there is no such value.
  public init?(choice name: String) {
    guard let value = Self.choices.first(where: { $0.rawValue == name }) else { return nil }
    self = value
  }
}

extension PromptStyle.Emphasis: JobChoice {}
extension RandomSourceName: JobChoice {}
extension PictureFormat: JobChoice {}

extension SchedulerConfiguration.TimestepSpacing: JobChoice {
  /// The values that diffusers has.
  public static var choices: [Self] { [.leading, .linspace, .trailing] }
}

extension SchedulerConfiguration.PredictionType: JobChoice {
  /// The values that UNets have.
  public static var choices: [Self] { [.epsilon, .velocity] }
}

/// The arithmetic that a job asks for.
public enum Arithmetic: String, JobChoice, CaseIterable {
  /// The faster one on this CPU.
  case auto
  case f32
  case bf16

  /// The precision in which an engine computes.
  package func precision(on engine: NetworkEngine) -> Precision {
    switch self {
    // Other providers than OpenVINO have no BF16 on the CPU.
    case .auto: engine == .native || engine.isOpenVINO ? Precision.automatic : .f32
    case .f32: .f32
    case .bf16: .bf16
    }
  }
}

/// What comes before PNDM's multistep method.
public enum PNDMStart: String, JobChoice, CaseIterable {
  case rungeKutta = "runge-kutta"
  case `repeat`
}

/// How latents become a preview.
public enum PreviewKind: String, JobChoice, CaseIterable {
  case auto
  case vae
  case tiny
  case latent
}

/// What a tiny autoencoder is loaded for.
public enum TinyAutoencoderUse: String, JobChoice, CaseIterable {
  case all
  case previews
}

/// A protocol by which a terminal shows images.
public enum TerminalProtocol: String, JobChoice, CaseIterable {
  case kitty
  case iterm2
  case sixel
}
