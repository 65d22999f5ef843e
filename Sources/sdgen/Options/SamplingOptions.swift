import ArgumentParser
import Diffusion

/// How latents are taken from noise to a picture.
struct SamplingOptions: ParsableArguments {
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

  func validate() throws {
    try checkRange("--steps", steps, in: 1...1000)
    if let seed { try checkRange("--seed", seed, in: 0...Int.max) }
    if let guidance, !(0...100).contains(guidance) {
      throw ValidationError("--guidance is \(guidance); it goes from 0 to 100")
    }
  }
}

extension SchedulerName: ExpressibleByArgument {}
