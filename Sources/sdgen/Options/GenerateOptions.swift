import ArgumentParser
import Diffusion

/// The fields of a job, as flags.
struct GenerateOptions: ParsableArguments {
  @OptionGroup(title: JobField.Group.prompt.title) var prompt: PromptOptions
  @OptionGroup(title: JobField.Group.sampling.title) var sampling: SamplingOptions
  @OptionGroup(title: JobField.Group.pictures.title) var pictures: PictureOptions
  @OptionGroup(title: JobField.Group.model.title) var model: ModelOptions
  @OptionGroup(title: JobField.Group.networks.title) var networks: NetworkOptions
  @OptionGroup(title: JobField.Group.approximations.title) var approximations: ApproximationOptions
  @OptionGroup(title: JobField.Group.output.title) var output: OutputOptions
  @OptionGroup(title: JobField.Group.watching.title) var watch: WatchOptions

  /// The job described by the flags.
  var job: DrawingJob {
    var job = DrawingJob()
    prompt.fill(&job)
    sampling.fill(&job)
    pictures.fill(&job)
    model.fill(&job)
    networks.fill(&job)
    approximations.fill(&job)
    output.fill(&job)
    watch.fill(&job)
    return job
  }
}
