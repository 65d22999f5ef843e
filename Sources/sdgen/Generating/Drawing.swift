import Diffusion
import OrderedJSON
import Pictures
import Terminal

/// The result of a run.
struct Drawing {
  /// A finished image.
  struct Picture {
    let file: String
    let seed: UInt64
    let steps: Int
    let width: Int
    let height: Int
    /// Kept only if it is shown or compared, to save memory.
    let image: Image?
    let scheduler: SchedulerDescriptor
    let timings: GenerationTimings
    /// Seconds spent on previews and on writing files.
    let fileSeconds: (previews: Double, writing: Double)
    /// The safety checker's verdict; nil if none ran.
    let safety: SafetyVerdict?
    /// Kept only if they are written.
    let latents: (noise: Latents, latents: Latents)?
    /// The text encoder's output; kept only if it is written, for a prompt's first image.
    let conditioning: Conditioning?
    /// Files written with it: previews, contact sheet, animation, sidecar.
    let files: [String]
  }

  let guidance: Double
  /// Files that existed already.
  let skipped: [String]
  var pictures: [Picture] = []
  /// Files written for all images together: latents, trace.
  var files: [String] = []
  var warnings: [String] = []
  /// The changes of each LoRA, for `--json`.
  var loras: [JSON] = []
  var loadSeconds = 0.0
  /// Set where the person stopped it.
  var cancellation: Failure?
  /// What ended it behind the pictures that there are.
  var failure: (any Error)?

  init(guidance: Double, skipped: [String]) {
    self.guidance = guidance
    self.skipped = skipped
  }

  /// - Throws: ``Failure`` unless all images are finished.
  func requireComplete() throws {
    if let failure { try Failure.fromDrawing { throw failure } }
    if let cancellation { throw cancellation }
  }
}

/// The context of a run.
struct DrawingPurpose {
  /// Whether to skip images whose files exist, and replace previews of unfinished ones.
  var skipsFinished = false
  /// Whether it is one of many jobs, which can be resumed after an interruption.
  var isOneOfMany = false
  /// Whether to keep the images in memory after writing.
  var keepsImages = false
  /// Whether to print the amount of work first: if a file requests it, not the user.
  var tellsWork = false
  /// The prefix of the progress line for one of many jobs; nil for a single job.
  var label: String?
  /// Files of this run's earlier jobs, by ``PicturePlan/identity(_:)``.
  var earlier: [String: (line: Int, job: DrawingJob)] = [:]

  /// - Throws: ``Failure`` if another job of this run has one of these files.
  func requireNoOther(_ job: DrawingJob, _ files: [String]) throws(Failure) {
    for file in files {
      guard let other = earlier[PicturePlan.identity(file)], other.job != job else {
        continue
      }
      throw Failure(
        .cannotCreate, code: "cannot-create", "job line \(other.line) already writes it",
        file: file, hint: "give each job its own \"output\"")
    }
  }
}
