import Checkpoint
import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

/// Draws the pictures of a job, writes them, and says so.
struct JobDrawing {
  let job: DrawingJob

  /// - Parameter job: one that ``DrawingJob/requireDrawable()`` lets pass.
  init(_ job: DrawingJob) { self.job = job }

  /// Draws what the job asks for and says so.
  func drawAndReport() throws {
    var purpose = DrawingPurpose()
    purpose.keepsImages = job.isShown
    let result = try Failure.fromDrawing { try drawAll(ModelCache(), purpose) }
    report(result)
    try result.requireComplete()
  }

  /// Draws all pictures of a plan.
  ///
  /// - Parameters:
  ///   - models: where a model may be loaded already.
  ///   - purpose: what is left out and kept.
  /// - Throws: what happened before a first picture; later errors are in the result.
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
        "note: drawing with the embedded model, with guidance \(EmbeddedModel.guidance)"
          + " (other models: 7.5)")
    }
    let initial = try initialPicture(&result.warnings)
    // What cannot be read is said before gigabytes are.
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
    // All is read by now, and nothing drawn yet.
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
    if let file = job.saveLatents {
      let latents = pictures.compactMap(\.latents)
      if latents.count < pictures.count {
        warn("of pictures that the safety checker held back no latents are saved", &warnings)
      }
      if !latents.isEmpty {
        result.append(
          (file, try Latents.writer(latents, to: file, overwrite: job.force == true)))
      }
    }
    if let trace, let file = job.trace {
      result.append((file, try trace.writer(to: file, overwrite: job.force == true)))
    }
    return result
  }

  /// Says a warning once; with --json it goes into the output.
  func warn(_ warning: String, _ warnings: inout [String]) {
    guard !warnings.contains(warning) else { return }
    warnings.append(warning)
    if !job.isSilent { Console.note("warning: " + Console.sanitized(warning)) }
  }
}
