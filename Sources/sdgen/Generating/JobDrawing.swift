import Checkpoint
import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

/// Generates the images of a job, writes them, and reports.
struct JobDrawing {
  let job: DrawingJob

  /// - Parameter job: a job that passes ``DrawingJob/requireDrawable()``.
  init(_ job: DrawingJob) { self.job = job }

  /// Runs the job and reports the result.
  func drawAndReport() throws {
    var purpose = DrawingPurpose()
    purpose.keepsImages = job.isShown
    let result = try Failure.fromDrawing { try drawAll(ModelCache(), purpose) }
    report(result)
    try result.requireComplete()
  }

  /// Generates all images of a plan.
  ///
  /// - Parameters:
  ///   - models: a cache that may already have the model.
  ///   - purpose: what to skip and keep.
  /// - Throws: errors before the first image; later errors are in the result.
  func drawAll(_ models: ModelCache, _ purpose: DrawingPurpose) throws -> Drawing {
    let path = try job.model ?? EmbeddedModel.path()
    let isEmbedded = EmbeddedModel.isEmbedded(path)
    let guidance = job.guidance?.value ?? (isEmbedded ? EmbeddedModel.guidance : 7.5)
    let noise = try job.latents.map { try Latents(noiseAt: $0) }
    let prompts = try PromptFile.prompts(of: job)
    let plan = try PicturePlan(job, noise: noise, prompts: prompts.count)
    try purpose.requireNoOther(job, plan.indices.map(plan.file))
    let finished = purpose.skipsFinished ? plan.finished : []
    var result = Drawing(guidance: guidance, skipped: finished.map(plan.file))
    let wanted = plan.indices.filter { !finished.contains($0) }
    guard let first = wanted.first, let last = wanted.last else { return result }
    try plan.requireFreeOutputs(besides: finished, purpose)
    if isEmbedded, job.guidance == nil, !job.isSilent {
      Console.note(
        "note: using the bundled model, guidance \(EmbeddedModel.guidance)"
          + " (other models: 7.5)")
    }
    let initial = try initialPicture(&result.warnings)
    // Fail on unreadable inputs before loading gigabytes of weights.
    _ = try controls { warn($0, &result.warnings) }
    func request(_ index: Int) throws -> GenerationRequest {
      var request = try self.request(
        prompts[plan.prompt(index)], plan.seed(index), guidance: guidance,
        noise: noise?.picture(plan.position(index)), initial: initial)
      request.variation = plan.variation(index)
      return request
    }
    let (loaded, isNew) = try models.model(for: job) {
      var warnings: [String] = []
      return try load(
        path, for: request(first), purpose, isAlone: plan.count == 1, &warnings)
    }
    // Everything is read, and nothing generated yet.
    try InputFiles.shared.requireUnchanged()
    try plan.requireNoInputs(besides: finished)
    result.warnings += loaded.warnings
    result.loras = loaded.model.additions.adapters.map(\.json)
    let limits = loaded.model.limits
    for warning in try limits.samplingWarnings(for: request(first))
      + limits.ignored(by: request(first))
    {
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
    var record = try PictureRecord(job, modelPath: path, models.digests)
    record.loras = result.loras
    record.isRepeatable = noise.map { $0.batch == 1 } ?? true

    let trace = job.trace.map { _ in LayerTrace() }
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
      } catch let error as Failure where error.status == .interrupted {
        result.cancellation = error
        break
      } catch {
        guard indices.count == 1 else {
          // One of the batch failed; treat the others as if each were generated alone.
          let left = indices.dropFirst(result.pictures.count - before)
          groups = left.map { [$0] } + groups
          continue
        }
        result.failure = error
        break
      }
    }
    // An interrupted job of a batch is rerun and writes them then. Without any image they are not
    // written.
    if !result.pictures.isEmpty, result.pictures.count < wanted.count, !purpose.isOneOfMany {
      do {
        let files = try writeTogether(result.pictures, trace, &result.warnings)
        try FileWriter.commit(files.map(\.writer))
        result.files = files.map(\.file)
      } catch {
        result.failure = result.failure ?? error
      }
    }
    // If no image was finished, report only the error.
    if result.pictures.isEmpty, let failure = result.failure { throw failure }
    return result
  }

  /// A file that is written, but not yet in place.
  typealias Output = (file: String, writer: FileWriter)

  /// Writes the files for all images together, not yet in place.
  private func writeTogether(
    _ pictures: [Drawing.Picture], _ trace: LayerTrace?, _ warnings: inout [String]
  ) throws -> [Output] {
    var result: [Output] = []
    if let file = job.saveLatents {
      let latents = pictures.compactMap(\.latents)
      if latents.count < pictures.count {
        warn("latents of flagged images are not saved", &warnings)
      }
      if !latents.isEmpty {
        result.append(
          (file, try Latents.writer(latents, to: file, overwrite: job.force == true)))
      }
    }
    if let file = job.saveEmbeddings {
      let prompts = pictures.compactMap(\.conditioning)
      result.append(
        (file, try Conditioning.writer(prompts, to: file, overwrite: job.force == true)))
    }
    if let trace, let file = job.trace {
      result.append((file, try trace.writer(to: file, overwrite: job.force == true)))
    }
    return result
  }

  /// Prints a warning once; with --json it goes into the output.
  func warn(_ warning: String, _ warnings: inout [String]) {
    guard !warnings.contains(warning) else { return }
    warnings.append(warning)
    if !job.isSilent { Console.note("warning: " + Console.sanitized(warning)) }
  }
}
