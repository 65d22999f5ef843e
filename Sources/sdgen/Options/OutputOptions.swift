import ArgumentParser
import Diffusion
import Pictures

/// Options of outputs and messages.
struct OutputOptions: ParsableArguments {
  @Option(.output) var output: String?
  @Option(.format) var format: PictureFormat?
  @Option(.quality) var quality: Int?
  @Flag(.noMetadata) var noMetadata = false
  @Flag(.modelHash) var modelHash = false
  @Flag(.sidecar) var sidecar = false
  @Option(.saveLatents) var saveLatents: String?
  @Option(.saveEmbeddings) var saveEmbeddings: String?
  @Flag(.json) var json = false
  @Flag(.quiet) var quiet = false
  @Flag(.force) var force = false

  func fill(_ job: inout DrawingJob) {
    job.output = output
    job.format = format
    job.quality = quality
    job.noMetadata = noMetadata ? true : nil
    job.modelHash = modelHash ? true : nil
    job.sidecar = sidecar ? true : nil
    job.saveLatents = saveLatents
    job.saveEmbeddings = saveEmbeddings
    job.json = json ? true : nil
    job.quiet = quiet ? true : nil
    job.force = force ? true : nil
  }
}
