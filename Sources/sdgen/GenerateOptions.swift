import ArgumentParser
import Diffusion
import Engine
import Terminal

/// What picture is wanted and how it is drawn.
struct GenerateOptions: ParsableArguments {
  @Argument(help: "What the picture shows.")
  var prompt: String

  @Option(
    help: ArgumentHelp(
      "The model: a repository or a .sdflat file (default: the embedded model).",
      valueName: "path"), completion: .file())
  var model: String?

  @Option(name: .shortAndLong, help: ArgumentHelp("The PNG file to write.", valueName: "file"))
  var output = "out.png"

  @Option(help: "Steps of the scheduler, 1 to 1000.")
  var steps = 25

  @Option(
    help: ArgumentHelp(
      "Guidance scale, 0 to 100; up to 1 the negative prompt is left out"
        + " (default: 7.5; 4 with the embedded model).", valueName: "scale"))
  var guidance: Double?

  @Option(
    help: ArgumentHelp("Seed of the noise, 0 to 2^63-1 (default: drawn).", valueName: "n"))
  var seed: Int?

  @Option(help: ArgumentHelp("The scheduler (default: the model's own).", valueName: "name"))
  var scheduler: SchedulerName?

  @Option(help: ArgumentHelp("What the picture should not show.", valueName: "text"))
  var negative = ""

  @Option(
    help: ArgumentHelp(
      "Width in pixels, a multiple of 8 (default: the model's own).", valueName: "pixels"))
  var width: Int?

  @Option(
    help: ArgumentHelp(
      "Height in pixels, a multiple of 8 (default: the model's own).", valueName: "pixels"))
  var height: Int?

  @Option(help: "Pictures to draw, each with the next seed: out-1.png, out-2.png, …")
  var count = 1

  @Option(
    help: ArgumentHelp("Arithmetic: auto, f32 or bf16; auto is f32.", valueName: "type"))
  var dtype = Arithmetic.auto

  @Option(
    help: ArgumentHelp(
      "Threads (default: one for each core; one for a small network).", valueName: "n"))
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Start from the noise in this safetensors file instead of the seed's.", valueName: "file"),
    completion: .file())
  var latents: String?

  @Option(
    help: ArgumentHelp(
      "Write the finished latents, and the noise they came from, to this safetensors file.",
      valueName: "file"), completion: .file())
  var saveLatents: String?

  @Option(
    help: ArgumentHelp(
      "Write the picture so far after every N evaluations of the UNet.", valueName: "n"))
  var previewEvery: Int?

  @Flag(help: "Print the time that each component took, and each evaluation of the UNet.")
  var profile = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Flag(help: "Replace files that exist.")
  var force = false

  func validate() throws {
    try check("--steps", steps, in: 1...1000)
    try check("--count", count, in: 1...10_000)
    if let threads { try check("--threads", threads, in: 1...1024) }
    if let previewEvery { try check("--preview-every", previewEvery, in: 1...1000) }
    if let seed { try check("--seed", seed, in: 0...Int.max) }
    if let guidance, !(0...100).contains(guidance) {
      throw ValidationError("--guidance is \(guidance); it goes from 0 to 100")
    }
    for (name, side) in [("--width", width), ("--height", height)] {
      guard let side else { continue }
      try check(name, side, in: 8...8192)
      if side % 8 != 0 { throw ValidationError("\(name) is \(side); it must be a multiple of 8") }
    }
  }

  private func check(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws {
    guard range.contains(value) else {
      throw ValidationError(
        "\(name) is \(value); it goes from \(range.lowerBound) to \(range.upperBound)")
    }
  }
}

/// The arithmetic that was asked for.
enum Arithmetic: String, ExpressibleByArgument, CaseIterable {
  case auto
  case f32
  case bf16

  var precision: Precision {
    switch self {
    case .auto, .f32: .f32
    case .bf16: .bf16
    }
  }
}

extension SchedulerName: ExpressibleByArgument {}
