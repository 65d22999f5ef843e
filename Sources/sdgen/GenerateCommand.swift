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
        sdgen "a lighthouse in winter" --init photo.jpg --strength 0.6
      """)

  @OptionGroup var options: GenerateOptions

  func run() throws {
    Interruption.watch()
    var words = Array(Swift.CommandLine.arguments.dropFirst())
    if words.first == Self.configuration.commandName { words.removeFirst() }
    try draw(JobArguments(commandLine: words))
  }

  /// Draws what the arguments ask for and says so.
  func draw(_ arguments: JobArguments) throws {
    let result = try Failure.fromDrawing { try drawAll(arguments, ModelCache()) }
    report(result)
    if let cancellation = result.cancellation { throw Failure(cancellation) }
  }

  /// Draws all pictures of a plan.
  ///
  /// - Parameters:
  ///   - arguments: the arguments that these options were read from.
  ///   - models: where a model may be loaded already.
  ///   - skipsFinished: whether pictures whose file is there are left out.
  func drawAll(
    _ arguments: JobArguments, _ models: ModelCache, skipsFinished: Bool = false
  ) throws -> Drawing {
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
    let finished = skipsFinished ? plan.finished : []
    var result = Drawing(guidance: guidance, skipped: finished.map(plan.file))
    guard finished.count < plan.count else { return result }
    try plan.requireFreeOutputs(besides: finished)
    let initial = try initialPicture()
    let loaded = try models.model(for: arguments) {
      var warnings: [String] = []
      let model = try load(
        path, isGuided: guidance > 1, noise: noise, initial: initial, &warnings)
      return (model, warnings)
    }
    result.warnings = loaded.warnings
    result.loadSeconds = loaded.isNew ? loaded.model.loadSeconds : 0
    var record = try PictureRecord(options, arguments, modelPath: path)
    record.isRepeatable = noise.map { $0.batch == 1 } ?? true

    let trace = options.watch.trace.map { _ in LayerTrace() }
    for index in plan.indices where !finished.contains(index) {
      let request = try request(
        prompts[plan.prompt(index)], plan.seed(index), guidance: guidance,
        noise: noise?.picture(plan.position(index)), initial: initial)
      do {
        result.pictures.append(
          try draw(request, index, plan, loaded.model, record, trace, &result.warnings))
      } catch let error as GenerationError where error.code == .cancelled {
        result.cancellation = error
        break
      }
    }
    if let file = options.output.saveLatents, !result.pictures.isEmpty {
      try Latents.write(
        result.pictures.compactMap(\.latents), to: file, overwrite: options.output.force)
    }
    if let trace, let file = options.watch.trace {
      try trace.write(to: file, overwrite: options.output.force)
    }
    return result
  }

  /// Says a warning once; with --json it goes into the output.
  func warn(_ warning: String, _ warnings: inout [String]) {
    guard !warnings.contains(warning) else { return }
    warnings.append(warning)
    if !options.output.json { Console.note("warning: " + Console.sanitized(warning)) }
  }
}

/// What a run of the command drew.
struct Drawing {
  /// A picture that was drawn, and what it was asked as.
  struct Picture {
    let file: String
    let request: GenerationRequest
    let image: Image
    let scheduler: SchedulerName
    let timings: GenerationTimings
    /// What the safety checker found; nil where none looked.
    let safety: SafetyVerdict?
    /// Kept where they are to be written.
    let latents: (noise: Latents, latents: Latents)?
    /// What was written into the picture.
    let metadata: PictureFile.Metadata
  }

  let guidance: Double
  /// Files that were there already.
  let skipped: [String]
  var pictures: [Picture] = []
  var warnings: [String] = []
  var loadSeconds = 0.0
  /// Set where the person stopped it.
  var cancellation: GenerationError?
}
