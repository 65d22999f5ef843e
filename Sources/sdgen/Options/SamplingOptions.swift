import ArgumentParser
import Diffusion
import Foundation

/// How latents are denoised.
struct SamplingOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Steps of the scheduler, 1 to 1000 (default: 25; one for each number of --sigmas).",
      valueName: "n"), transform: wholeNumber(in: 1...1000))
  var steps: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Guidance scale, 0 to 100; up to 1 the negative prompt is left out"
        + " (default: 7.5; 4 with the embedded model).", valueName: "scale"),
    transform: number(in: 0...100))
  var guidance: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Seed of the noise, 0 to 2^63-1; with --rng numpy to 2^32-1 (default: drawn).",
      valueName: "n"), transform: SamplingOptions.seed(parsing:))
  var seed: Int?

  @Option(
    help: ArgumentHelp(
      "The scheduler: one of the names below, a diffusers class or a web UI's name, such as"
        + " \"DPM++ 2M Karras\" (default: the model's own).", valueName: "name"))
  var scheduler: SchedulerChoice?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Sigmas (noise levels): \(SigmaSpacing.namesWithMeaning), or falling numbers with commas,"
        + " one per step; not for \(SchedulerDescriptor.names { !$0.takesSigmas })"
        + " (default: the scheduler's own).", valueName: "spacing"),
    completion: .list(SigmaSpacing.named.map(\.name)), transform: SigmaSpacing.init(parsing:))
  var sigmas: SigmaSpacing?

  @Option(
    help: ArgumentHelp(
      "Timesteps: leading, linspace or trailing (default: the model's or the scheduler's own).",
      valueName: "spacing"))
  var spacing: SchedulerConfiguration.TimestepSpacing?

  @Option(
    help: ArgumentHelp(
      "What the UNet predicts: epsilon or v_prediction (default: the model's own).",
      valueName: "type"))
  var prediction: SchedulerConfiguration.PredictionType?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      SchedulerDescriptor.etaHelp, valueName: "share"), transform: number(in: 0...1))
  var eta: Double?

  @Option(
    help: ArgumentHelp(
      "How pndm starts: runge-kutta, with three steps of four evaluations, or repeat, with one step"
        + " taken twice (default: the model's own).", valueName: "way"))
  var pndmStart: PNDMStart?

  @Option(
    help: ArgumentHelp(
      "Generator of the noise: torch (on a CPU), cuda (torch on a GPU, and web UIs), numpy.",
      valueName: "name"))
  var rng = RandomSourceName.torch

  /// One step for each noise level where they are given one by one.
  var stepCount: Int {
    if case .list(let levels) = sigmas { return levels.count }
    return steps ?? 25
  }

  /// What was asked for, by itself or in the scheduler's name.
  private var noiseLevels: SigmaSpacing? { sigmas ?? scheduler?.label?.sigmas }

  /// Sets what a request says of sampling.
  func apply(to request: inout GenerationRequest) {
    request.steps = stepCount
    request.scheduler = scheduler?.label.map(\.scheduler)
    request.eta = eta.map { Float($0) }
    request.sampling.sigmas = noiseLevels
    request.sampling.spacing = spacing
    request.sampling.prediction = prediction
    request.sampling.startsWithRungeKutta = pndmStart.map { $0 == .rungeKutta }
    request.randomSource = rng
  }

  private static func seed(parsing argument: String) throws -> Int {
    guard let seed = Int(argument), seed >= 0 else {
      throw ValidationError(
        "give a whole number from 0 to 2^63-1, \(Int.max); or leave it out for one that is drawn")
    }
    return seed
  }

  func validate() throws {
    try scheduler?.check(besides: sigmas, spacing)
    if let steps, case .list(let levels) = sigmas, levels.count != steps {
      throw ValidationError(
        "--steps is \(steps), and --sigmas gives \(levels.count) noise levels; there is one for each"
          + " step")
    }
    if sigmas != nil, spacing != nil {
      throw ValidationError("--sigmas and --spacing exclude each other")
    }
    if rng == .numpy, let seed {
      try checkRange("with --rng numpy --seed", seed, in: 0...Int(UInt32.max))
    }
  }
}

extension SchedulerDescriptor {
  /// The help text of `--eta`.
  fileprivate static var etaHelp: String {
    let etas = all.compactMap { scheduler in scheduler.eta.map { (scheduler.name, $0) } }
    let meanings = etas.map { "for \($0), \($1.meaning)" }.joined(separator: "; ")
    let defaults = etas.map { "\($0) \(String(format: "%g", $1.defaultValue))" }
    return "0 to 1: \(meanings) (default: \(defaults.joined(separator: ", ")))."
  }
}

extension RandomSourceName: ExpressibleByArgument {}

/// What comes before PNDM's multistep method.
enum PNDMStart: String, ExpressibleByArgument, CaseIterable {
  case rungeKutta = "runge-kutta"
  case `repeat`
}

extension SchedulerConfiguration.TimestepSpacing: ExpressibleByArgument {
  public static var allValueStrings: [String] { ["leading", "linspace", "trailing"] }
}

extension SchedulerConfiguration.PredictionType: ExpressibleByArgument {
  public init?(argument: String) {
    guard Self.allValueStrings.contains(argument) else { return nil }
    self.init(rawValue: argument)
  }

  public static var allValueStrings: [String] { ["epsilon", "v_prediction"] }
}

extension SigmaSpacing {
  /// A spacing's name, or numbers with commas.
  init(parsing argument: String) throws {
    if let named = Self(name: argument) {
      self = named
      return
    }
    var levels = argument.split(separator: ",", omittingEmptySubsequences: false)
      .map { Double($0) }
    // The 0 after the last step is optional.
    if levels.count > 1, levels.last == 0 { levels.removeLast() }
    let numbers = levels.compactMap { $0 }
    guard numbers.count == levels.count, numbers.count <= 1000,
      numbers.allSatisfy({ $0 > 0 && $0 <= 1e4 }),
      zip(numbers, numbers.dropFirst()).allSatisfy({ $0 > $1 })
    else {
      let names = Self.named.map(\.name).joined(separator: ", ")
      throw ValidationError(
        "give \(names), or falling numbers above 0 and up to 10000, as in 14.6,5,1.5,0.3")
    }
    self = .list(numbers)
  }

  /// The names for `--help`, with the web UI's name if ours is an abbreviation.
  fileprivate static var namesWithMeaning: String {
    named.map { named in
      named.webUIName.lowercased() == named.name
        ? named.name : "\(named.name) (\(named.webUIName))"
    }.joined(separator: ", ")
  }
}
