import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

extension JobDrawing {
  /// Draws pictures that are drawn at once, and writes each as soon as it is finished. Of those that
  /// an error keeps from it no previews stay.
  ///
  /// - Parameters:
  ///   - requests: which differ in seeds and noise alone.
  ///   - indices: of the pictures in the plan.
  ///   - together: what goes with all pictures of the plan together, written but not yet at its
  ///     place, where a picture is the last of them.
  func draw(
    _ requests: [GenerationRequest], _ indices: [Int], _ plan: PicturePlan,
    _ model: DiffusionModel, _ record: PictureRecord, _ trace: LayerTrace?,
    _ purpose: DrawingPurpose, _ result: inout Drawing,
    together: (_ index: Int, _ picture: Drawing.Picture, inout Drawing) throws -> [Output]
  ) throws {
    let watches = indices.map {
      PictureWatch(
        job, plan, $0, model,
        replaces: (
          previews: job.force == true || purpose.skipsFinished,
          others: replaces($0, plan, purpose)
        ))
    }
    var finished = 0
    do {
      try drawEach(requests, indices, plan, model, watches, trace, purpose) {
        position, generation in
        let index = indices[position]
        // Pictures that are drawn together share the time of their previews.
        let seconds = watches.reduce(0) { $0 + $1.seconds } / Double(watches.count)
        let written = try write(
          generation, requests[position], index, plan, model, watches[position], record, purpose,
          previewSeconds: seconds, &result.warnings)
        let shared = try together(index, written.picture, &result)
        // The picture is the last: where it is, all is that goes with it.
        try FileWriter.commit(written.others + shared.map(\.writer) + [written.writer])
        result.files += shared.map(\.file)
        result.pictures.append(written.picture)
        finished += 1
      }
    } catch {
      for watch in watches[finished...] { watch.removePreviews() }
      throw error
    }
  }

  private func replaces(_ index: Int, _ plan: PicturePlan, _ purpose: DrawingPurpose) -> Bool {
    job.force == true || plan.isLeft(index, purpose)
  }

  /// Draws pictures at once, says how far they are, and hands each over by its position.
  private func drawEach(
    _ requests: [GenerationRequest], _ indices: [Int], _ plan: PicturePlan,
    _ model: DiffusionModel, _ watches: [PictureWatch], _ trace: LayerTrace?,
    _ purpose: DrawingPurpose, finished: (Int, Generation) throws -> Void
  ) throws {
    let (first, last) = (indices[0] + 1, indices[indices.count - 1] + 1)
    let bar = progressBar(
      plan.count == 1
        ? "drawing"
        : first == last
          ? "picture \(first) of \(plan.count)"
          : "pictures \(first) to \(last) of \(plan.count)", purpose)
    defer { bar.finish() }
    var stepStart = Console.seconds()
    var loopStart = stepStart
    var passes = [Int](repeating: 0, count: requests.count)
    var failure: (any Error)?
    do {
      try model.drawEach(
        requests,
        progress: { index, progress in
          let now = Console.seconds()
          switch progress.stage {
          case .encoding:
            passes[index] += 1
            bar.update(0, "reading the prompt", force: true)
          case .denoising where progress.evaluations == 0:
            loopStart = now
            bar.update(0, "evaluation 1 of \(progress.total)", force: true)
          case .denoising:
            let done = progress.evaluations
            let left = (now - loopStart) / Double(done) * Double(progress.total - done)
            // In the first pass all pictures take a step together; the first of them tells of it.
            if index == 0 || passes[index] > 1 {
              bar.update(
                Double(done) / Double(progress.total),
                (passes[index] > 1 ? "second pass, " : "")
                  + "evaluation \(done) of \(progress.total), "
                  + "\(Format.seconds(now - stepStart)) each, \(Format.seconds(left)) left",
                force: true)
            }
            do {
              // What is read of a file that was truncated is zeros.
              try InputFiles.shared.requireUnchanged()
              try watches[index].see(progress, pass: passes[index])
            } catch {
              failure = error
              return false
            }
          case .decoding:
            bar.update(1, "decoding", force: true)
          }
          stepStart = Console.seconds()
          return !Interruption.isAsked
        }, observer: trace.map { trace in { trace.add($0, $1) } },
        finished: {
          // What is said of the writing stands on lines of its own.
          bar.finish()
          try finished($0, $1)
        })
    } catch {
      throw failure ?? error
    }
  }

  /// Writes a picture and what goes with it, but not yet at their places.
  private func write(
    _ generation: Generation, _ request: GenerationRequest, _ index: Int, _ plan: PicturePlan,
    _ model: DiffusionModel, _ watch: PictureWatch, _ record: PictureRecord,
    _ purpose: DrawingPurpose, previewSeconds: Double, _ warnings: inout [String]
  ) throws -> (picture: Drawing.Picture, writer: FileWriter, others: [FileWriter]) {
    let start = Console.seconds()
    let replaces = replaces(index, plan, purpose)
    // Prompts.
    let encodings = [
      ("prompt", generation.prompt), ("negative prompt", generation.negativePrompt),
    ]
    for case (let name, let encoding?) in encodings where encoding.droppedTokenCount > 0 {
      warn(
        "the \(name) is \(encoding.droppedTokenCount.of("token")) too long; left out: "
          + encoding.droppedText, &warnings)
    }
    for case (let name, let encoding?) in encodings {
      for warning in encoding.warnings { warn("of the \(name): \(warning)", &warnings) }
    }
    let used = generation.prompt.embeddings.union(generation.negativePrompt?.embeddings ?? [])
    for embedding in model.embeddings
    where !used.contains(embedding.token) && !model.additions.bundledWords.contains(embedding.token)
    {
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
    if job.sidecar == true {
      let sidecar = plan.sidecarFile(index)
      let text = record.sidecar(of: request, generation, file: file).text() + "\n"
      let writer = try FileWriter(path: sidecar, overwrite: replaces)
      try writer.write(Array(text.utf8))
      outputs.append((sidecar, writer))
    }
    let metadata =
      job.noMetadata == true
      ? PictureFile.Metadata() : record.metadata(of: request, generation)
    let writer = try FileWriter(path: file, overwrite: replaces)
    do throws(FormatError) {
      try writer.write(encoded(generation.image, metadata, &warnings))
    } catch {
      throw error.file == nil ? error.inFile(file) : error
    }
    let picture = Drawing.Picture(
      file: file, seed: request.seed, steps: request.steps, width: generation.image.width,
      height: generation.image.height, image: purpose.keepsImages ? generation.image : nil,
      scheduler: generation.scheduler, timings: generation.timings,
      fileSeconds: (previews: previewSeconds, writing: Console.seconds() - start),
      safety: generation.safety,
      latents: job.saveLatents == nil || isFlagged
        ? nil : (noise: generation.noise, latents: generation.latents),
      files: watch.previews + outputs.map(\.file))
    return (picture, writer, outputs.map(\.writer))
  }

  /// Says how far a picture or the loading is, unless nothing is to be said.
  func progressBar(_ label: String, _ purpose: DrawingPurpose) -> ProgressBar {
    ProgressBar(
      (purpose.label.map { $0 + ", " } ?? "") + label, isQuiet: job.quiet == true,
      elsewhere: job.json == true && purpose.label == nil ? .nothing : .lines)
  }

  /// The bytes of the picture's file, with as much of the texts as a JPEG file holds.
  private func encoded(
    _ image: Image, _ metadata: PictureFile.Metadata, _ warnings: inout [String]
  ) throws(FormatError) -> [UInt8] {
    let compression = job.compression
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
