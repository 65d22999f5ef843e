import ArgumentParser
import Diffusion

/// Options for faster or smaller runs at the cost of small differences.
struct ApproximationOptions: ParsableArguments {
  @Option(.cacheInterval) var cacheInterval: Int?
  @Option(.guidanceInterval) var guidanceInterval: String?
  @Option(.tokenMerging) var tokenMerging: JobNumber?
  @Option(.vaeTile) var vaeTile: String?
  @Flag(.lowMemory) var lowMemory = false

  func fill(_ job: inout DrawingJob) {
    job.cacheInterval = cacheInterval
    job.guidanceInterval = guidanceInterval
    job.tokenMerging = tokenMerging
    job.vaeTile = vaeTile
    job.lowMemory = lowMemory ? true : nil
  }
}
