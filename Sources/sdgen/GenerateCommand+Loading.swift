import Checkpoint
import Diffusion
import Engine
import ModelGraph
import Terminal

extension GenerateCommand {
  /// Loads the model that the options name.
  func load(
    _ path: String, isGuided: Bool, noise: Latents?, initial: InitialPicture?,
    _ warnings: inout [String]
  ) throws -> ModelCache.Loaded {
    guard options.model.dtype.precision != .bf16 || Precision.isBF16Native else {
      throw Failure.usage(
        "this CPU does not compute in bf16", hint: "give --dtype f32, or leave --dtype out")
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
      threads: options.model.threads, precision: options.model.dtype.precision,
      keepsWeightsInFile: options.approximations.lowMemory)
    let (width, height) = firstSize(noise: noise, initial: initial)
    try foreseeMemory(checkpoint, width: width, height: height, isGuided: isGuided, &warnings)
    let embeddings = try options.prompt.style.loadEmbeddings()
    for embedding in embeddings {
      for warning in embedding.warnings { warn("\(embedding.path): \(warning)", &warnings) }
    }
    let bar = ProgressBar("loading")
    defer { bar.finish() }
    let model = try DiffusionModel(
      checkpoint, options: engine, width: width, height: height, isGuided: isGuided,
      embeddings: embeddings, additions: additions
    ) { progress in
      bar.update(
        Double(progress.loaded) / Double(max(1, progress.total)),
        "\(progress.component): \(progress.loaded) of \(progress.total) tensors")
    }
    bar.finish()
    for warning in model.additions.warnings { warn(warning, &warnings) }
    return ModelCache.Loaded(model: model, checkpoint: checkpoint, warnings: warnings)
  }

  /// The size of the first pass in pixels, where something other than the model says it.
  func firstSize(noise: Latents?, initial: InitialPicture?) -> (width: Int?, height: Int?) {
    (
      initial?.image.width ?? options.pictures.width ?? noise.map { 8 * $0.width },
      initial?.image.height ?? options.pictures.height ?? noise.map { 8 * $0.height }
    )
  }

  /// What the options load beside the model.
  var additions: ModelAdditions {
    var additions = ModelAdditions()
    additions.adapters = options.networks.lora.map {
      ModelAdditions.Adapter($0.path, scale: $0.scale)
    }
    additions.controlNets = options.networks.control
    additions.tinyAutoencoder = options.networks.tinyVae
    additions.tinyAutoencoderDecodesAll = options.networks.tinyVaeFor == .all
    additions.checksSafety = !options.networks.withoutSafetyChecker
    additions.reusesDeepFeatures = options.approximations.cacheInterval > 1
    additions.tiling = options.approximations.tiling
    return additions
  }
}
