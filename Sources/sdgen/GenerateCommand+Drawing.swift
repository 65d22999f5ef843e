import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

extension GenerateCommand {
  /// Draws one picture and writes it.
  func draw(
    _ request: GenerationRequest, _ index: Int, _ plan: PicturePlan, _ model: DiffusionModel,
    _ record: PictureRecord, _ trace: LayerTrace?, _ purpose: DrawingPurpose,
    _ warnings: inout [String]
  ) throws -> Drawing.Picture {
    let bar = ProgressBar(plan.count > 1 ? "picture \(index + 1) of \(plan.count)" : "drawing")
    defer { bar.finish() }
    let watch = PictureWatch(
      options, plan, index, model, replacesPreviews: purpose.skipsFinished)
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
              try watch.see(progress, pass: passes)
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
    let isFlagged = generation.safety?.isFlagged == true
    let file = plan.file(index)
    var outputs: [(file: String, writer: FileWriter)] = []
    // What the checker blots out is not shown by its steps either, nor by its latents.
    if isFlagged {
      watch.removePreviews()
    } else {
      outputs = try watch.finish(generation.image)
    }
    if options.output.sidecar {
      let sidecar = plan.sidecarFile(index)
      let text = record.sidecar(of: request, generation, file: file).text() + "\n"
      let writer = try FileWriter(path: sidecar, overwrite: options.output.force)
      try writer.write(Array(text.utf8))
      outputs.append((sidecar, writer))
    }
    let metadata =
      options.output.noMetadata
      ? PictureFile.Metadata() : record.metadata(of: request, generation)
    let writer = try FileWriter(path: file, overwrite: options.output.force)
    do throws(FormatError) {
      try writer.write(encoded(generation.image, metadata, &warnings))
    } catch {
      throw error.file == nil ? error.inFile(file) : error
    }
    // The picture is the last: where it is, all is that goes with it.
    try FileWriter.commit(outputs.map(\.writer) + [writer])
    return Drawing.Picture(
      file: file, seed: request.seed, steps: request.steps, width: generation.image.width,
      height: generation.image.height, image: purpose.keepsImages ? generation.image : nil,
      scheduler: generation.scheduler, timings: generation.timings, safety: generation.safety,
      latents: options.output.saveLatents == nil || isFlagged
        ? nil : (noise: generation.noise, latents: generation.latents),
      files: watch.previews + outputs.map(\.file))
  }

  /// The bytes of the picture's file, with as much of the texts as a JPEG file holds.
  private func encoded(
    _ image: Image, _ metadata: PictureFile.Metadata, _ warnings: inout [String]
  ) throws(FormatError) -> [UInt8] {
    let compression = options.output.compression
    if compression.format == .jpeg {
      let shorter = PictureFile.Metadata(parameters: metadata.parameters)
      let attempts: [(texts: PictureFile.Metadata, lack: String?)] = [
        (metadata, nil), (shorter, "the job"), (PictureFile.Metadata(), "how it was made"),
      ]
      for (texts, lack) in attempts {
        guard let bytes = try? PictureFile.encode(image, texts, as: compression) else { continue }
        if let lack {
          warn(
            "the text is too long for a JPEG file; \(lack) is not in it (PNG holds all)", &warnings
          )
        }
        return bytes
      }
    }
    return try PictureFile.encode(image, metadata, as: compression)
  }
}
