import ArgumentParser
import Checkpoint
import Diffusion
import Engine
import Glibc
import ModelFormats
import ModelGraph
import OrderedJSON
import Terminal

/// Draws pictures from a prompt.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Draw pictures from a prompt.",
    discussion: """
      The same prompt, seed, size, scheduler, steps and guidance always give the same picture, \
      and the noise of a seed is the one that torch draws on a CPU.

      EXAMPLES
        sdgen "a red circle on a blue background"
        sdgen "a lighthouse at dusk" --model sd15.sdflat --negative "people" --seed 7
      """)

  @OptionGroup var options: GenerateOptions

  func run() throws {
    do {
      try generate()
    } catch let error as GenerationError {
      throw Failure(error)
    } catch let error as EngineError {
      throw Failure(error)
    }
  }

  private func generate() throws {
    let path = try options.model.path ?? EmbeddedModel.path()
    let isEmbedded = EmbeddedModel.isEmbedded(path)
    let guidance = options.sampling.guidance ?? (isEmbedded ? EmbeddedModel.guidance : 7.5)
    if isEmbedded, options.sampling.guidance == nil, !options.output.json {
      Console.note(
        "note: drawing with the embedded model, with guidance \(EmbeddedModel.guidance)"
          + " (other models: 7.5)")
    }
    let noise = try options.pictures.latents.map { try Latents(noiseAt: $0) }
    let prompts = try options.prompt.prompts()
    let plan = try PicturePlan(options, noise: noise, prompts: prompts.count)
    try plan.requireFreeOutputs()
    var warnings: [String] = []
    let model = try load(path, isGuided: guidance > 1, noise: noise, &warnings)

    var pictures: [Drawn] = []
    for index in plan.indices {
      let request = try request(
        prompts[plan.prompt(index)], plan.seed(index), guidance: guidance,
        noise: noise?.picture(plan.position(index)))
      pictures.append(try draw(request, index, plan, model, &warnings))
    }
    if let file = options.output.saveLatents {
      try Latents.write(
        pictures.map { (noise: $0.generation.noise, latents: $0.generation.latents) }, to: file,
        overwrite: options.output.force)
    }
    report(pictures, guidance: guidance, load: model.loadSeconds, warnings)
  }

  /// A picture that was drawn, and what it was asked as.
  struct Drawn {
    let file: String
    let request: GenerationRequest
    let generation: Generation
  }

  /// Says a warning once; with --json it goes into the output.
  func warn(_ warning: String, _ warnings: inout [String]) {
    guard !warnings.contains(warning) else { return }
    warnings.append(warning)
    if !options.output.json { Console.note("warning: " + Console.sanitized(warning)) }
  }
}
