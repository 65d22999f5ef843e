import ModelFormats

/// Everything that is known about one scheduler, apart from its method.
///
/// Each scheduler defines its descriptor in its own file, and ``all`` lists it. Command lines,
/// image metadata, help texts, error messages and the table in `docs/generation.md` read it here.
public struct SchedulerDescriptor: Sendable {
  /// The value of `--scheduler` and the name in JSON: `dpmpp-2m`.
  public let name: String

  /// The diffusers class that this scheduler matches; nil if diffusers has none.
  public internal(set) var className: String?

  /// The values of `algorithm_type` that select this scheduler among those of its class, the
  /// default first; nil if the class does not read that field.
  var algorithmTypes: [String]?

  /// The name in the AUTOMATIC1111 web UI and in the image metadata that we write: `DPM++ 2M`.
  public let webUIName: String

  /// The name that stable-diffusion.cpp writes into image metadata, without the spacing.
  var cppName: String?

  /// The spacing of sigmas that the web UI's schedule type Automatic means for it: a value of
  /// `--sigmas`; nil if that is the scheduler's own.
  var webUISigmas: String?

  /// Other names for it: ComfyUI's and k-diffusion's, if they differ from ``name`` and
  /// ``webUIName`` in more than case and punctuation.
  var aliases: [String] = []

  /// Samplers of other programs that are missing here, for which this one is the closest.
  var neighbors: [Neighbor] = []

  /// One sentence about the method, for help texts and tables.
  public let summary: String

  /// Where the method was published.
  public let source: String

  /// The order of accuracy of a step, with the defaults of the diffusers class.
  public let order: Int

  /// Whether steps add noise.
  public let noise: Noise

  /// Whether it works on sigmas, so that their spacing can be chosen.
  public let takesSigmas: Bool

  /// Whether the spacing of its timesteps can be chosen.
  public internal(set) var takesSpacing = true

  /// What `eta` does; nil if the scheduler has no eta.
  public internal(set) var eta: Eta?

  /// Whether it can start with Runge-Kutta steps.
  public internal(set) var hasRungeKuttaStart = false

  /// Whether it accepts models that predict the image (`prediction_type` `sample`).
  public internal(set) var supportsSamplePrediction = true

  /// Whether it needs a model or LoRA that was distilled for it; its steps are limited to those of
  /// the distillation.
  public internal(set) var isDistilled = false

  /// What it assumes about training if the model's configuration does not say it.
  var training = TrainingDefaults()

  /// Makes the scheduler; `eta` is its default if none was given, and 0 if it has no eta.
  let make: Make

  typealias Make =
    @Sendable (_ configuration: SchedulerConfiguration, _ steps: Int, _ eta: Float)
    throws(FormatError) -> any Scheduler
}

extension SchedulerDescriptor {
  /// When steps add noise.
  public enum Noise: Sendable {
    case never
    /// Only with an eta above 0.
    case withEta
    case always
  }

  /// A parameter from 0 to 1.
  public struct Eta: Sendable {
    /// The value if none is given.
    public let defaultValue: Float
    /// A noun phrase that completes "for `name`, …".
    public let meaning: String
    /// What is worth a warning if none is given.
    var defaultWarning: String?
  }

  /// A sampler of another program that is missing here.
  struct Neighbor: Sendable {
    /// In any case and punctuation: `dpmpp_2m_sde_gpu`.
    let name: String
    /// Settings that make the descriptor's scheduler more like it.
    var spacing: SchedulerConfiguration.TimestepSpacing?
    var randomSource: RandomSourceName?
    /// How the scheduler differs all the same: completes "…, which".
    var difference: String?
  }
}

/// Two descriptors are equal if they have the same name.
extension SchedulerDescriptor: Hashable, CustomStringConvertible {
  public static func == (first: Self, second: Self) -> Bool { first.name == second.name }

  public func hash(into hasher: inout Hasher) { hasher.combine(name) }

  public var description: String { name }
}
