import ArgumentParser
import Diffusion

/// Options of sampling.
struct SamplingOptions: ParsableArguments {
  @Option(.steps) var steps: Int?
  @Option(.guidance) var guidance: JobNumber?
  @Option(.seed) var seed: Int?
  @Option(.variationSeed) var variationSeed: Int?
  @Option(.variationStrength) var variationStrength: JobNumber?
  @Option(.seedResize) var seedResize: String?
  @Option(.scheduler) var scheduler: SchedulerChoice?
  @Option(.sigmas) var sigmas: String?
  @Option(.spacing) var spacing: SchedulerConfiguration.TimestepSpacing?
  @Option(.prediction) var prediction: SchedulerConfiguration.PredictionType?
  @Option(.eta) var eta: JobNumber?
  @Option(.pndmStart) var pndmStart: PNDMStart?
  @Option(.rng) var rng: RandomSourceName?

  func fill(_ job: inout DrawingJob) {
    job.steps = steps
    job.guidance = guidance
    job.seed = seed
    job.variationSeed = variationSeed
    job.variationStrength = variationStrength
    job.seedResize = seedResize
    job.scheduler = scheduler?.text
    job.sigmas = sigmas
    job.spacing = spacing
    job.prediction = prediction
    job.eta = eta
    job.pndmStart = pndmStart
    job.rng = rng
  }
}
