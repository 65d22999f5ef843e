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
    ThreadWaiting.shorten()
    Interruption.watch(quiet: options.output.isSilent)
    var words = FileName.arguments
    if words.first == Self.configuration.commandName { words.removeFirst() }
    try draw(JobArguments(commandLine: words))
  }

  /// Draws what the arguments ask for and says so.
  func draw(_ arguments: JobArguments) throws {
    var purpose = DrawingPurpose()
    purpose.keepsImages = options.watch.show || options.watch.showAs != nil
    let result = try Failure.fromDrawing { try drawAll(arguments, ModelCache(), purpose) }
    report(result)
    try result.requireComplete()
  }

  /// Draws all pictures of a plan.
  ///
  /// - Parameters:
  ///   - arguments: the arguments that these options were read from.
  ///   - models: where a model may be loaded already.
  ///   - purpose: what is left out and kept.
  /// - Throws: what happened before a first picture; later errors are in the result.
  func drawAll(
    _ arguments: JobArguments, _ models: ModelCache, _ purpose: DrawingPurpose
  ) throws -> Drawing {
    let path = try options.model.path ?? EmbeddedModel.path()
    let isEmbedded = EmbeddedModel.isEmbedded(path)
    let guidance = options.sampling.guidance ?? (isEmbedded ? EmbeddedModel.guidance : 7.5)
    let noise = try options.pictures.latents.map { try Latents(noiseAt: $0) }
    let prompts = try options.prompt.prompts()
    let plan = try PicturePlan(options, noise: noise, prompts: prompts.count)
    try purpose.requireNoOther(arguments, plan.indices.map(plan.file))
    let finished = purpose.skipsFinished ? plan.finished : []
    var result = Drawing(guidance: guidance, skipped: finished.map(plan.file))
    let wanted = plan.indices.filter { !finished.contains($0) }
    guard let first = wanted.first, let last = wanted.last else { return result }
    try plan.requireFreeOutputs(besides: finished, purpose)
    if isEmbedded, options.sampling.guidance == nil, !options.output.isSilent {
      Console.note(
        "note: drawing with the embedded model, with guidance \(EmbeddedModel.guidance)"
          + " (other models: 7.5)")
    }
    let initial = try initialPicture(&result.warnings)
    // What cannot be read is said before gigabytes are.
    _ = try options.networks.controls { warn($0, &result.warnings) }
    func request(_ index: Int) throws -> GenerationRequest {
      try self.request(
        prompts[plan.prompt(index)], plan.seed(index), guidance: guidance,
        noise: noise?.picture(plan.position(index)), initial: initial)
    }
    let (loaded, isNew) = try models.model(for: arguments) {
      var warnings: [String] = []
      return try load(
        path, for: request(first), purpose, isAlone: plan.count == 1, &warnings)
    }
    // All is read by now, and nothing drawn yet.
    try InputFiles.shared.requireUnchanged()
    try plan.requireNoInputs(besides: finished)
    result.warnings += loaded.warnings
    result.loras = loaded.model.additions.adapters.map(\.json)
    for warning in loaded.model.limits.ignored(by: try request(first)) {
      warn(warning, &result.warnings)
    }
    result.loadSeconds = isNew ? loaded.model.loadSeconds : 0
    var batch = loaded.batch
    if !isNew {
      let size = firstSize(noise: noise, initial: initial)
      batch = try foreseeMemory(
        loaded.checkpoint, width: size.width, height: size.height, isGuided: guidance > 1,
        isLoaded: true, &result.warnings)
    }
    var record = try PictureRecord(options, arguments, modelPath: path, models.digests)
    record.loras = result.loras
    record.isRepeatable = noise.map { $0.batch == 1 } ?? true

    let trace = options.watch.trace.map { _ in LayerTrace() }
    var groups = plan.batches(of: batch, besides: finished)[...]
    while let indices = groups.popFirst() {
      let before = result.pictures.count
      do {
        try draw(
          indices.map(request), indices, plan, loaded.model, record, trace, purpose, &result
        ) { index, picture, result in
          guard index == last else { return [] }
          return try writeTogether(result.pictures + [picture], trace, &result.warnings)
        }
      } catch let error as GenerationError where error.code == .cancelled {
        result.cancellation = error
        break
      } catch {
        guard indices.count == 1 else {
          // One of them cannot be drawn; those before it are as if each were drawn alone.
          let left = indices.dropFirst(result.pictures.count - before)
          groups = left.map { [$0] } + groups
          continue
        }
        result.failure = error
        break
      }
    }
    // One of many jobs that was stopped is begun anew, and writes them then.
    // Without a picture there is nothing that they go with.
    if !result.pictures.isEmpty, result.pictures.count < wanted.count, !purpose.isOneOfMany {
      do {
        let files = try writeTogether(result.pictures, trace, &result.warnings)
        try FileWriter.commit(files.map(\.writer))
        result.files = files.map(\.file)
      } catch {
        result.failure = result.failure ?? error
      }
    }
    // Where there is nothing to tell of, the error alone is told.
    if result.pictures.isEmpty, let failure = result.failure { throw failure }
    return result
  }

  /// A file that is written, but not yet at its place.
  typealias Output = (file: String, writer: FileWriter)

  /// Writes what goes with all pictures together, but not yet at its place.
  private func writeTogether(
    _ pictures: [Drawing.Picture], _ trace: LayerTrace?, _ warnings: inout [String]
  ) throws -> [Output] {
    var result: [Output] = []
    if let file = options.output.saveLatents {
      let latents = pictures.compactMap(\.latents)
      if latents.count < pictures.count {
        warn("of pictures that the safety checker held back no latents are saved", &warnings)
      }
      if !latents.isEmpty {
        result.append(
          (file, try Latents.writer(latents, to: file, overwrite: options.output.force)))
      }
    }
    if let trace, let file = options.watch.trace {
      result.append((file, try trace.writer(to: file, overwrite: options.output.force)))
    }
    return result
  }

  /// Says a warning once; with --json it goes into the output.
  func warn(_ warning: String, _ warnings: inout [String]) {
    guard !warnings.contains(warning) else { return }
    warnings.append(warning)
    if !options.output.isSilent { Console.note("warning: " + Console.sanitized(warning)) }
  }
}
