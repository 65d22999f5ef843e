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
  @Option(.engine) var engine: String?
  @Option(.onnxRuntime) var onnxRuntime: String?

  /// These options as a job.
  private var job: DrawingJob {
    var job = DrawingJob()
    fill(&job)
    return job
  }

  var precision: Precision { job.precision }
  var networkEngine: NetworkEngine { job.networkEngine }

  func validate() throws {
    do throws(JobError) {
      try job.checkEngine()
    } catch {
      throw ValidationError(error.message.text { "--" + $0 })
    }
  }

  func fill(_ job: inout DrawingJob) {
    job.model = path
    job.vae = vae
    job.variant = variant
    job.dtype = dtype
    job.threads = threads
    job.engine = engine
    job.onnxRuntime = onnxRuntime
  }
}
