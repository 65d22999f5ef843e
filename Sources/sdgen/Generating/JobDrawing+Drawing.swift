import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

extension JobDrawing {
  /// Generates a batch of images, and writes each as soon as it is finished. Previews of failed
  /// ones are removed.
  ///
  /// - Parameters:
  ///   - requests: requests that differ only in seeds and noise.
  ///   - indices: the images' indices in the plan.
  ///   - together: creates the files for all images together, written but not yet in place, with
  ///     the last image.
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
        // The image is moved last: if it exists, its accompanying files exist too.
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

  /// Generates a batch of images, shows progress, and passes on each with its position.
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
          ? "image \(first) of \(plan.count)"
          : "images \(first) to \(last) of \(plan.count)", purpose)
    defer { bar.finish() }
    var stepStart = Console.seconds()
    var loopStart = stepStart
    var loop = try GenerationLoop(
      model, requests, observer: trace.map { trace in { trace.add($0, $1) } })
    while let step = try loop.next() {
      let now = Console.seconds()
      switch step.stage {
      case .encoding:
        bar.update(0, "reading the prompt", force: true)
      case .denoising where step.evaluation == 0:
        loopStart = now
        bar.update(0, "evaluation 1 of \(step.evaluationCount)", force: true)
      case .denoising:
        let (done, count) = (step.evaluation, step.evaluationCount)
        let left = (now - loopStart) / Double(done) * Double(count - done)
        // In the first pass all pictures take a step together; the first of them tells of it.
        if step.imageIndex == 0 || step.pass > 1 {
          bar.update(
            Double(done) / Double(count),
            (step.pass > 1 ? "second pass, " : "") + "evaluation \(done) of \(count), "
              + "\(Format.seconds(now - stepStart)) each, \(Format.seconds(left)) left",
            force: true)
        }
        // What is read of a file that was truncated is zeros.
        try InputFiles.shared.requireUnchanged()
        try watches[step.imageIndex].see(step)
      case .decoding:
        bar.update(1, "decoding", force: true)
      case .finished:
        // What is said of the writing stands on lines of its own.
        bar.finish()
        if let result = step.result { try finished(step.imageIndex, result) }
        continue
      }
      stepStart = Console.seconds()
      if Interruption.isAsked { throw Failure.cancelled(at: step) }
    }
  }

  /// Writes an image and its accompanying files, not yet in place.
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
        "the \(name) is \(encoding.droppedTokenCount.of("token")) too long; dropped: "
          + encoding.droppedText, &warnings)
    }
    for case (let name, let encoding?) in encodings {
      for warning in encoding.warnings { warn("\(name): \(warning)", &warnings) }
    }
    let used = generation.prompt.embeddings.union(generation.negativePrompt?.embeddings ?? [])
    for embedding in model.embeddings
    where !used.contains(embedding.token) && !model.additions.bundledWords.contains(embedding.token)
    {
      warn("embedding \(embedding.token) is not used in the prompt", &warnings)
    }
    if generation.safety?.isFlagged == true {
      warn(
        "the safety checker flagged the image and blacked it out"
          + " (try another seed or prompt, or --no-safety-checker)", &warnings)
    }
    let isFlagged = generation.safety?.isFlagged == true
    let file = plan.file(index)
    var outputs: [(file: String, writer: FileWriter)] = []
    // A flagged image's steps and latents are not kept either.
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
      conditioning: job.saveEmbeddings != nil && plan.position(index) == 0
        ? generation.conditioning : nil,
      files: watch.previews + outputs.map(\.file))
    return (picture, writer, outputs.map(\.writer))
  }

  /// A progress bar for an image or for loading, unless progress is disabled.
  func progressBar(_ label: String, _ purpose: DrawingPurpose) -> ProgressBar {
    ProgressBar(
      (purpose.label.map { $0 + ", " } ?? "") + label, isQuiet: job.quiet == true,
      elsewhere: job.json == true && purpose.label == nil ? .nothing : .lines)
  }

  /// The bytes of the image file, with as much metadata as a JPEG file can store.
  private func encoded(
    _ image: Image, _ metadata: PictureFile.Metadata, _ warnings: inout [String]
  ) throws(FormatError) -> [UInt8] {
    let compression = job.compression
    if compression.format == .jpeg {
      let shorter = PictureFile.Metadata(parameters: metadata.parameters)
      let attempts: [(texts: PictureFile.Metadata, lack: String?)] = [
        (metadata, nil), (shorter, "the arguments"), (PictureFile.Metadata(), "all metadata"),
      ]
      for (texts, lack) in attempts {
        guard let bytes = try? PictureFile.encode(image, texts, as: compression) else { continue }
        if let lack {
          warn(
            "the metadata is too long for a JPEG file; omitted: \(lack)", &warnings
          )
        }
        return bytes
      }
    }
    return try PictureFile.encode(image, metadata, as: compression)
  }
}
