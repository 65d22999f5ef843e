import ArgumentParser
import Checkpoint
import Diffusion
import Engine
import ModelFormats
import Terminal

/// The VAE of commands that use it alone.
struct CodecOptions: ParsableArguments {
  @OptionGroup var model: ModelOptions
  @Option(.vaeTile) var vaeTile: String?

  /// The model's files.
  ///
  /// - Throws: ``FormatError``; ``Failure`` for arithmetic that this CPU lacks.
  func checkpoint() throws -> ModelCheckpoint {
    try model.requireArithmetic()
    let checkpoint = try ModelCheckpoint.toDraw(
      model.path, variant: model.variant, vae: model.vae)
    try checkpoint.requireUndamaged()
    return checkpoint
  }

  /// The VAE of a checkpoint, for images of a size in pixels.
  ///
  /// - Throws: ``FormatError``.
  func codec(
    of checkpoint: ModelCheckpoint, width: Int, height: Int
  ) throws -> LatentCodec {
    var job = DrawingJob()
    job.vaeTile = vaeTile
    return try LatentCodec(
      checkpoint,
      options: EngineOptions(threads: model.threads, precision: model.precision),
      engine: model.networkEngine, width: width, height: height, tiling: job.tiling)
  }
}

extension ModelOptions {
  /// - Throws: ``Failure`` if bf16 was requested and this CPU does not have it.
  func requireArithmetic() throws(Failure) {
    guard precision == .bf16, !Precision.isBF16Native else { return }
    throw .usage("this CPU does not support bf16", hint: "use --dtype f32, or omit --dtype")
  }
}
