import ArgumentParser
import Diffusion

/// Size and number of images, and init images.
struct PictureOptions: ParsableArguments {
  @Option(.width) var width: Int?
  @Option(.height) var height: Int?
  @Option(.count) var count: Int?
  @Option(.batchSize) var batchSize: Int?
  @Option(.latents) var latents: String?
  @Option(.initial) var initial: String?
  @Option(.strength) var strength: JobNumber?
  @Option(.mask) var mask: String?
  @Option(.outpaint) var outpaint: String?
  @Flag(.pasteBack) var pasteBack = false
  @Option(.hires) var hires: JobNumber?
  @Option(.hiresStrength) var hiresStrength: JobNumber?
  @Option(.hiresSteps) var hiresSteps: Int?

  func fill(_ job: inout DrawingJob) {
    job.width = width
    job.height = height
    job.count = count
    job.batchSize = batchSize
    job.latents = latents
    job.initial = initial
    job.strength = strength
    job.mask = mask
    job.outpaint = outpaint
    job.pasteBack = pasteBack ? true : nil
    job.hires = hires
    job.hiresStrength = hiresStrength
    job.hiresSteps = hiresSteps
  }
}
