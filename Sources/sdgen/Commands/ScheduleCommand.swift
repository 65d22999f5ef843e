import ArgumentParser
import Checkpoint
import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

/// Shows the noise levels that a drawing passes through.
struct ScheduleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedule",
    abstract: "Show timesteps, betas and noise levels, evaluation by evaluation.",
    discussion: """
      beta is the variance of the noise that a timestep adds in training; alpha is the product of \
      1 - beta up to the timestep. Latents are x_t = signal x_0 + noise e, with signal the square \
      root of alpha and noise that of 1 - alpha; sigma is noise over signal.

      EXAMPLES
        sdgen schedule --scheduler ddim --steps 20
        sdgen schedule --scheduler "DPM++ 2M Karras" --json
        sdgen schedule --steps 50 -o schedule.svg
      """)

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "The model whose scheduler_config.json is used (default: the bundled model).",
      valueName: "path"), completion: .file())
  var path: String?

  @Option(.steps) var steps: Int?
  @Option(.scheduler) var scheduler: SchedulerChoice?
  @Option(.sigmas) var sigmas: String?
  @Option(.spacing) var spacing: SchedulerConfiguration.TimestepSpacing?
  @Option(.prediction) var prediction: SchedulerConfiguration.PredictionType?
  @Option(.eta) var eta: JobNumber?
  @Option(.pndmStart) var pndmStart: PNDMStart?

  @Flag(help: "With --json: the values of every training timestep too.")
  var training = false

  @OptionGroup var chart: ChartOptions

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    try scheduler?.check(
      besides: sigmas.flatMap { SigmaSpacing(name: $0) ?? .karras }, spacing)
    if training, !json { throw ValidationError("--training needs --json") }
  }

  func run() throws {
    var job = DrawingJob()
    job.steps = steps
    job.scheduler = scheduler?.text
    job.sigmas = sigmas
    job.spacing = spacing
    job.prediction = prediction
    job.eta = eta
    job.pndmStart = pndmStart
    let table = try Failure.fromDrawing {
      try ScheduleTable(of: EmbeddedModel.open(orCheckpointAt: path), for: job.request(""))
    }
    try chart.writer()?.finish(ScheduleChart(table: table).svg())
    Console.print(json ? report(table).text() : Self.text(table))
    if !json { chart.report() }
  }

  private static func text(_ table: ScheduleTable) -> String {
    var rows = Table([
      ("evaluation", .right), ("timestep", .right), ("beta", .right), ("alpha", .right),
      ("signal", .right), ("noise", .right), ("sigma", .right),
    ])
    for level in table.levels {
      rows.add([
        String(level.evaluation), number(Double(level.timestep)), Format.decimals(level.beta, 6),
        Format.decimals(level.cumulativeAlpha, 6), Format.decimals(level.signal, 4),
        Format.decimals(level.noise, 4),
        level.sigma.isFinite ? Format.decimals(level.sigma, 4) : "inf",
      ])
    }
    return rows.text()
      + "\n\(table.scheduler.name): \(table.levels.count.of("evaluation")); noise at the start has "
      + "standard deviation \(Format.decimals(Double(table.initialNoiseSigma), 4))"
  }

  /// A timestep, which may be fractional.
  private static func number(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : Format.decimals(value, 3)
  }

  private func report(_ table: ScheduleTable) -> JSON {
    var object: JSONObject = [
      "version": 1, "scheduler": .string(table.scheduler.name),
      "initial_noise_sigma": Self.json(Double(table.initialNoiseSigma)),
      "steps": .array(
        table.levels.map { level in
          [
            "evaluation": .integer(level.evaluation),
            "timestep": Self.json(Double(level.timestep)), "beta": Self.json(level.beta),
            "alpha_cumprod": Self.json(level.cumulativeAlpha),
            "signal": Self.json(level.signal), "noise": Self.json(level.noise),
            "sigma": Self.json(level.sigma),
          ]
        }),
    ]
    if training {
      object["training"] = [
        "betas": .array(table.betas.map { Self.json(Double($0)) }),
        "alphas_cumprod": .array(table.cumulativeAlphas.map { Self.json(Double($0)) }),
      ]
    }
    if let output = chart.output { object["output"] = .string(output) }
    return .object(object)
  }

  /// A number; null if it is infinite, as a sigma without signal is.
  private static func json(_ value: Double) -> JSON {
    value.isFinite ? .number(value) : .null
  }
}
