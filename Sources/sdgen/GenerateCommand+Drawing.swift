import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

extension GenerateCommand {
  /// Draws one picture and writes it.
  func draw(
    _ request: GenerationRequest, _ index: Int, _ plan: PicturePlan, _ model: DiffusionModel,
    _ record: PictureRecord, _ trace: LayerTrace?, _ warnings: inout [String]
  ) throws -> Drawing.Picture {
    let bar = ProgressBar(plan.count > 1 ? "picture \(index + 1) of \(plan.count)" : "drawing")
    defer { bar.finish() }
    let watch = PictureWatch(options, plan, index, model)
    var stepStart = Console.seconds()
    var loopStart = stepStart
    var passes = 0
    var failure: (any Error)?
    let generation: Generation
    do {
      generation = try model.draw(
        request,
        progress: { progress in
          let now = Console.seconds()
          switch progress.stage {
          case .encoding:
            passes += 1
            bar.update(0, "reading the prompt", force: true)
          case .denoising where progress.evaluations == 0:
            loopStart = now
            bar.update(0, "step 1 of \(progress.total)", force: true)
          case .denoising:
            let done = progress.evaluations
            let left = (now - loopStart) / Double(done) * Double(progress.total - done)
            bar.update(
              Double(done) / Double(progress.total),
              (passes > 1 ? "second pass, " : "")
                + "step \(done) of \(progress.total), \(Format.seconds(now - stepStart))/step, "
                + "\(Format.seconds(left)) left", force: true)
            do {
              if passes == 1 { try watch.see(progress) }
            } catch {
              failure = error
              return false
            }
          case .decoding:
            bar.update(1, "decoding", force: true)
          }
          stepStart = Console.seconds()
          return !Interruption.isAsked
        }, observer: trace.map { trace in { trace.add($0, $1) } })
    } catch {
      throw failure ?? error
    }
    bar.finish()
    // Prompts.
    let encodings = [
      ("prompt", generation.prompt), ("negative prompt", generation.negativePrompt),
    ]
    for case (let name, let encoding?) in encodings where encoding.droppedTokenCount > 0 {
      warn(
        "the \(name) is \(encoding.droppedTokenCount) tokens too long; left out: "
          + encoding.droppedText, &warnings)
    }
    for case (let name, let encoding?) in encodings {
      for warning in encoding.warnings { warn("of the \(name): \(warning)", &warnings) }
    }
    let used = generation.prompt.embeddings.union(generation.negativePrompt?.embeddings ?? [])
    for embedding in model.embeddings where !used.contains(embedding.token) {
      warn("the prompt does not hold the embedding \(embedding.token)", &warnings)
    }
    if generation.safety?.isFlagged == true {
      warn(
        "the safety checker found what it should not show; the picture is black"
          + " (another seed or prompt may do, or --no-safety-checker)", &warnings)
    }
    let file = plan.file(index)
    let metadata = record.metadata(of: request, generation)
    try PictureFile.write(
      generation.image, options.output.noMetadata ? PictureFile.Metadata() : metadata,
      as: options.output.compression, to: file, overwrite: options.output.force)
    // What the checker blots out is not shown by its steps either.
    if generation.safety?.isFlagged != true { try watch.finish(generation.image) }
    if options.output.sidecar {
      try write(
        sidecar: record.sidecar(of: request, generation, file: file), to: plan.sidecarFile(index))
    }
    return Drawing.Picture(
      file: file, request: request, image: generation.image, scheduler: generation.scheduler,
      timings: generation.timings, safety: generation.safety,
      latents: options.output.saveLatents == nil
        ? nil : (noise: generation.noise, latents: generation.latents),
      metadata: metadata)
  }

  private func write(sidecar: JSON, to path: String) throws(FormatError) {
    let writer = try FileWriter(path: path, overwrite: options.output.force)
    try writer.write(Array((sidecar.text() + "\n").utf8))
    try writer.commit()
  }
}
