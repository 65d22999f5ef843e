import Checkpoint
import Diffusion

/// The model of the last job, kept for the next job with the same one.
final class ModelCache {
  /// A model, its checkpoint, and warnings about it.
  struct Loaded {
    let model: DiffusionModel
    let checkpoint: ModelCheckpoint
    /// The maximum batch size.
    var batch = 1
    var warnings: [String] = []
  }

  /// Hashes of input files.
  let digests = FileDigests()

  private var held: (key: DrawingJob, loaded: Loaded)?

  /// Drops the model, so that the next job loads its own.
  func forget() { held = nil }

  /// The model for a job.
  ///
  /// - Parameter load: loads it.
  func model(
    for job: DrawingJob, _ load: () throws -> Loaded
  ) throws -> (loaded: Loaded, isNew: Bool) {
    let key = job.filtered { $0.traits.contains(.loading) }
    if let held, held.key == key { return (held.loaded, false) }
    // Drop the old one first: two at once may exceed memory.
    held = nil
    let loaded = try load()
    held = (key, loaded)
    return (loaded, true)
  }
}
