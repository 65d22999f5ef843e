import Checkpoint
import Diffusion

/// The model of the last job, kept for the next one that draws with the same.
final class ModelCache {
  /// A model, the checkpoint that it was read from, and what is odd about it.
  struct Loaded {
    let model: DiffusionModel
    let checkpoint: ModelCheckpoint
    /// How many pictures may be drawn at once.
    var batch = 1
    var warnings: [String] = []
  }

  /// Hashes of files that went into pictures.
  let digests = FileDigests()

  private var held: (key: DrawingJob, loaded: Loaded)?

  /// Lets go of the model, so that the next job loads its own.
  func forget() { held = nil }

  /// The model that a job asks for.
  ///
  /// - Parameter load: loads it.
  func model(
    for job: DrawingJob, _ load: () throws -> Loaded
  ) throws -> (loaded: Loaded, isNew: Bool) {
    let key = job.filtered { $0.traits.contains(.loading) }
    if let held, held.key == key { return (held.loaded, false) }
    // The old one goes first: two at once may be more than there is memory for.
    held = nil
    let loaded = try load()
    held = (key, loaded)
    return (loaded, true)
  }
}
