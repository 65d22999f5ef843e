import Diffusion
import OrderedJSON
import Pictures
import Terminal

/// What a run of the command drew.
struct Drawing {
  /// A picture that was drawn.
  struct Picture {
    let file: String
    let seed: UInt64
    let steps: Int
    let width: Int
    let height: Int
    /// Kept where it is to be shown or compared: many are more than there is memory for.
    let image: Image?
    let scheduler: SchedulerDescriptor
    let timings: GenerationTimings
    /// Seconds that previews and the writing of files took.
    let fileSeconds: (previews: Double, writing: Double)
    /// What the safety checker found; nil where none looked.
    let safety: SafetyVerdict?
    /// Kept where they are to be written.
    let latents: (noise: Latents, latents: Latents)?
    /// What was written with it: previews, contact sheet, animation, sidecar.
    let files: [String]
  }

  let guidance: Double
  /// Files that were there already.
  let skipped: [String]
  var pictures: [Picture] = []
  /// What was written for all pictures together: latents, trace.
  var files: [String] = []
  var warnings: [String] = []
  /// What each LoRA changed, as `--json` has it.
  var loras: [JSON] = []
  var loadSeconds = 0.0
  /// Set where the person stopped it.
  var cancellation: GenerationError?
  /// What ended it behind the pictures that there are.
  var failure: (any Error)?

  init(guidance: Double, skipped: [String]) {
    self.guidance = guidance
    self.skipped = skipped
  }

  /// - Throws: ``Failure`` where not all pictures were drawn.
  func requireComplete() throws {
    if let failure { try Failure.fromDrawing { throw failure } }
    if let cancellation { throw Failure(cancellation) }
  }
}

/// What pictures are drawn for.
struct DrawingPurpose {
  /// Whether pictures whose file is there are left out, and previews of unfinished ones replaced.
  var skipsFinished = false
  /// Whether it is one of many jobs, which is begun anew where it was stopped.
  var isOneOfMany = false
  /// Whether the pictures themselves are wanted behind the files.
  var keepsImages = false
  /// Whether the work is told before it begins: where a file asks for it, and not the person.
  var tellsWork = false
  /// What stands before the progress of one of many jobs; nil of one job alone.
  var label: String?
  /// Files of this run's earlier jobs, by ``PicturePlan/identity(_:)``.
  var earlier: [String: (line: Int, job: DrawingJob)] = [:]

  /// - Throws: ``Failure`` where another job of this run has one of these files already.
  func requireNoOther(_ job: DrawingJob, _ files: [String]) throws(Failure) {
    for file in files {
      guard let other = earlier[PicturePlan.identity(file)], other.job != job else {
        continue
      }
      throw Failure(
        .cannotCreate, code: "cannot-create", "line \(other.line) of the jobs writes it too",
        file: file, hint: "give each job an \"output\" of its own")
    }
  }
}
