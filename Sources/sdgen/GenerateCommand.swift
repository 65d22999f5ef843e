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
    let path = try options.model ?? EmbeddedModel.path()
    let isEmbedded = EmbeddedModel.isEmbedded(path)
    let guidance = options.guidance ?? (isEmbedded ? EmbeddedModel.guidance : 7.5)
    if isEmbedded, options.guidance == nil, !options.json {
      Console.note(
        "note: drawing with the embedded model, with guidance \(EmbeddedModel.guidance)"
          + " (other models: 7.5)")
    }
    let noise = try options.latents.map { try Latents(noiseAt: $0) }
    let plan = try PicturePlan(options, noise: noise)
    try plan.requireFreeOutputs()
    var warnings: [String] = []
    let model = try load(path, isGuided: guidance > 1, noise: noise, &warnings)

    var pictures: [Drawn] = []
    for index in plan.indices {
      var request = GenerationRequest(prompt: options.prompt)
      request.negativePrompt = options.negative
      request.steps = options.steps
      request.guidanceScale = Float(guidance)
      request.seed = plan.seed(index)
      request.width = options.width
      request.height = options.height
      request.scheduler = options.scheduler
      request.noise = noise?.picture(index)
      pictures.append(try draw(request, index, plan, model, &warnings))
    }
    if let file = options.saveLatents {
      try Latents.write(
        pictures.map { (noise: $0.generation.noise, latents: $0.generation.latents) }, to: file,
        overwrite: options.force)
    }
    report(pictures, guidance: guidance, load: model.loadSeconds, warnings)
  }

  /// A picture that was drawn, and what it was asked as.
  struct Drawn {
    let file: String
    let request: GenerationRequest
    let generation: Generation
  }

  private func load(
    _ path: String, isGuided: Bool, noise: Latents?, _ warnings: inout [String]
  ) throws -> DiffusionModel {
    guard options.dtype.precision != .bf16 || Precision.isBF16Native else {
      throw Failure.usage(
        "this CPU does not compute in bf16", hint: "leave --dtype out, or give f32")
    }
    // A single file has neither tokenizer nor scheduler.
    let companions = (try? ModelCheckpoint.open(EmbeddedModel.path()).files) ?? []
    let opened = try ModelCheckpoint.open(path)
    let checkpoint =
      opened.layout == .repository ? opened : opened.completed(with: companions)
    for warning in checkpoint.warnings { warn(warning, &warnings) }
    if let noise, let object = checkpoint[.vae]?.configuration?.object,
      let vae = try? VAEConfiguration(object), noise.channels != vae.latentChannels
    {
      throw Failure.usage(
        "the latents have \(noise.channels) channels; the model's have \(vae.latentChannels)",
        hint: "give latents that were saved with this model")
    }
    try checkpoint.requireUndamaged()
    let engine = EngineOptions(
      threads: options.threads, precision: options.dtype.precision)
    let bar = ProgressBar("loading")
    defer { bar.finish() }
    return try DiffusionModel(
      checkpoint, options: engine, width: options.width ?? noise.map { 8 * $0.width },
      height: options.height ?? noise.map { 8 * $0.height }, isGuided: isGuided
    ) { progress in
      bar.update(
        Double(progress.loaded) / Double(max(1, progress.total)),
        "\(progress.component): \(progress.loaded) of \(progress.total) tensors")
    }
  }

  private func draw(
    _ request: GenerationRequest, _ index: Int, _ plan: PicturePlan, _ model: DiffusionModel,
    _ warnings: inout [String]
  ) throws -> Drawn {
    let bar = ProgressBar(plan.count > 1 ? "picture \(index + 1) of \(plan.count)" : "drawing")
    defer { bar.finish() }
    var stepStart = Console.seconds()
    var loopStart = stepStart
    var previewFailure: (any Error)?
    let generation = try model.generate(
      request,
      progress: { progress in
        let now = Console.seconds()
        switch progress.stage {
        case .encoding:
          bar.update(0, "reading the prompt", force: true)
        case .denoising where progress.evaluations == 0:
          loopStart = now
          bar.update(0, "step 1 of \(progress.total)", force: true)
        case .denoising:
          let done = progress.evaluations
          let left = (now - loopStart) / Double(done) * Double(progress.total - done)
          bar.update(
            Double(done) / Double(progress.total),
            "step \(done) of \(progress.total), \(Format.seconds(now - stepStart))/step, "
              + "\(Format.seconds(left)) left", force: true)
          do {
            try preview(progress, index, plan, model)
          } catch {
            previewFailure = error
            return false
          }
        case .decoding:
          bar.update(1, "decoding", force: true)
        }
        stepStart = Console.seconds()
        return true
      })
    if let previewFailure { throw previewFailure }
    bar.finish()
    let encodings = [
      ("prompt", generation.prompt), ("negative prompt", generation.negativePrompt),
    ]
    for case (let name, let encoding?) in encodings where encoding.droppedTokenCount > 0 {
      warn(
        "the \(name) is \(encoding.droppedTokenCount) tokens too long; left out: "
          + encoding.droppedText, &warnings)
    }
    let file = plan.file(index)
    try PNG.write(generation.image, to: file, overwrite: options.force)
    return Drawn(file: file, request: request, generation: generation)
  }

  /// Writes the picture so far where that was asked for; the last one is the picture itself.
  private func preview(
    _ progress: GenerationProgress, _ index: Int, _ plan: PicturePlan, _ model: DiffusionModel
  ) throws {
    guard let every = options.previewEvery, progress.evaluations % every == 0,
      progress.evaluations < progress.total
    else { return }
    try PNG.write(
      model.decode(progress.latents),
      to: plan.previewFile(index, evaluation: progress.evaluations), overwrite: options.force)
  }

  /// Says a warning once; with --json it goes into the output.
  private func warn(_ warning: String, _ warnings: inout [String]) {
    guard !warnings.contains(warning) else { return }
    warnings.append(warning)
    if !options.json { Console.note("warning: " + Console.sanitized(warning)) }
  }
}

extension Failure {
  init(_ error: GenerationError) {
    let status: ExitStatus =
      switch error.code {
      case .cancelled: .interrupted
      case .request: .usage
      case .notFinite: .data
      }
    self.init(status, code: error.code.rawValue, error.message, hint: error.hint)
  }

  init(_ error: EngineError) {
    let status: ExitStatus =
      switch error.code {
      case .input, .parameter: .data
      case .unsupported: .usage
      case .memory, .library: .software
      }
    self.init(
      status, code: "engine-\(error.code.rawValue)", error.description,
      hint: error.code == .memory ? "draw a smaller picture, or close other programs" : nil)
  }
}
