import Checkpoint
import Diffusion
import Engine
import Glibc
import ModelGraph
import OrderedJSON
import Pictures
import Terminal

extension JobDrawing {
  /// Loads the job's model.
  ///
  /// - Parameters:
  ///   - request: a request that the model must support.
  ///   - isAlone: whether it is the only image.
  func load(
    _ path: String, for request: GenerationRequest, _ purpose: DrawingPurpose, isAlone: Bool,
    _ warnings: inout [String]
  ) throws -> ModelCache.Loaded {
    let (noise, isGuided) = (request.noise, request.isGuided)
    guard job.precision != .bf16 || Precision.isBF16Native else {
      throw Failure.usage(
        "this CPU does not support bf16", hint: "use --dtype f32, or omit --dtype")
    }
    let checkpoint = try checkpoint(path)
    for warning in checkpoint.warnings { warn(warning, &warnings) }
    if let noise, let object = checkpoint[.vae]?.configuration?.object,
      let vae = try? VAEConfiguration(object), noise.channels != vae.latentChannels
    {
      throw Failure.usage(
        "the latents have \(noise.channels.of("channel")); the model's have \(vae.latentChannels)",
        hint: "use latents saved with this model")
    }
    try checkpoint.requireUndamaged()
    if let vae = job.vae { try ModelCheckpoint.open(vae).requireUndamaged() }
    // Reject unsupported requests before loading gigabytes of weights.
    try DrawingLimits(of: checkpoint).check(request)
    if job.usesLowMemory { try Self.requireWeightsFolder() }
    let engine = EngineOptions(
      threads: job.threads, precision: job.precision,
      keepsWeightsInFile: job.usesLowMemory)
    let (width, height) = firstSize(noise: noise, initial: request.initial)
    let batch = try foreseeMemory(
      checkpoint, width: width, height: height, isGuided: isGuided, &warnings)
    if purpose.tellsWork {
      tellWork(checkpoint, request, width: width, height: height, isGuided: isGuided)
    }
    let embeddings = try EmbeddingArgument.load(job.embedding ?? [])
    for embedding in embeddings {
      for warning in embedding.warnings { warn("\(embedding.path): \(warning)", &warnings) }
    }
    let bar = progressBar("loading", purpose)
    defer { bar.finish() }
    let model = try DiffusionModel(
      checkpoint, options: engine, engine: job.networkEngine, width: width, height: height,
      isGuided: isGuided, batch: batch, embeddings: embeddings,
      additions: additions(purpose, isAlone: isAlone)
    ) { progress in
      bar.update(
        Double(progress.loaded) / Double(max(1, progress.total)),
        "\(progress.component): \(progress.loaded) of \(progress.total) tensors")
    }
    bar.finish()
    for warning in model.tokenizer.definition.notes + model.additions.warnings {
      warn(warning, &warnings)
    }
    return ModelCache.Loaded(
      model: model, checkpoint: checkpoint, batch: batch, warnings: warnings)
  }

  /// The checkpoint that the job names, with its VAE.
  func checkpoint(_ path: String?) throws -> ModelCheckpoint {
    try ModelCheckpoint.toDraw(path, variant: job.variant, vae: job.vae)
  }

  /// The scheduler of a job that names none: the model's own.
  func defaultScheduler() throws -> SchedulerDescriptor {
    try DrawingLimits(of: checkpoint(job.model)).scheduler.defaultScheduler()
  }

  /// Fails if the temporary directory cannot store the weights.
  private static func requireWeightsFolder() throws(Failure) {
    let given = Console.variable("TMPDIR")
    let folder = given ?? "/var/tmp"
    guard access(folder, W_OK | X_OK) != 0 || !PicturePath.isDirectory(folder) else { return }
    let reason =
      PicturePath.isDirectory(folder)
      ? "is not writable" : access(folder, F_OK) == 0 ? "is not a directory" : "does not exist"
    throw Failure(
      .cannotCreate, code: "cannot-create",
      "the directory for --low-memory weights, \(folder), \(reason)", file: folder,
      hint: given == nil
        ? "create \(folder), or set TMPDIR to another directory"
        : "create \(folder), or set TMPDIR to another directory")
  }

  /// The size of the first pass in pixels, if not the model's default.
  func firstSize(noise: Latents?, initial: InitialPicture?) -> (width: Int?, height: Int?) {
    (
      initial?.image.width ?? job.width ?? noise.map { 8 * $0.width },
      initial?.image.height ?? job.height ?? noise.map { 8 * $0.height }
    )
  }

  /// The additional networks of the job; for a single image, networks are not all in memory at
  /// once.
  private func additions(_ purpose: DrawingPurpose, isAlone: Bool) -> ModelAdditions {
    var additions = additions
    additions.releasesNetworks =
      isAlone && !purpose.isOneOfMany && job.hires == nil
    return additions
  }

  /// The additional networks of the job.
  var additions: ModelAdditions {
    var additions = ModelAdditions()
    additions.adapters = (job.lora ?? []).compactMap { ScaledFile(argument: $0) }.map {
      ModelAdditions.Adapter($0.path, scale: $0.scale)
    }
    additions.controlNets = job.control ?? []
    additions.tinyAutoencoder = job.tinyVAE
    additions.tinyAutoencoderDecodesAll = (job.tinyVAEFor ?? .all) == .all
    additions.checksSafety = job.noSafetyChecker != true
    additions.reusesDeepFeatures = (job.cacheInterval ?? 1) > 1
    additions.mergedThousandths = job.mergedThousandths
    additions.tiling = job.tiling
    return additions
  }
}
