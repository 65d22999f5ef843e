import ArgumentParser
import Diffusion
import Engine

/// The model, and how it is computed.
struct ModelOptions: ParsableArguments {
  @Option(.model) var path: String?
  @Option(.vae) var vae: String?
  @Option(.variant) var variant: String?
  @Option(.dtype) var dtype: Arithmetic?
  @Option(.threads) var threads: Int?

  var precision: Precision { (dtype ?? .auto).precision }

  func fill(_ job: inout DrawingJob) {
    job.model = path
    job.vae = vae
    job.variant = variant
    job.dtype = dtype
    job.threads = threads
  }
}
