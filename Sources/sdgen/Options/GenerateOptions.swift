import ArgumentParser

/// What picture is wanted and how it is drawn.
struct GenerateOptions: ParsableArguments {
  @OptionGroup(title: "Prompt") var prompt: PromptOptions
  @OptionGroup(title: "Sampling") var sampling: SamplingOptions
  @OptionGroup(title: "Pictures") var pictures: PictureOptions
  @OptionGroup(title: "Model") var model: ModelOptions
  @OptionGroup(title: "Additional networks") var networks: NetworkOptions
  @OptionGroup(title: "Approximations") var approximations: ApproximationOptions
  @OptionGroup(title: "Output") var output: OutputOptions
  @OptionGroup(title: "Watching") var watch: WatchOptions

  func validate() throws {
    if watch.preview == .tiny, networks.tinyVae == nil {
      throw ValidationError("--preview tiny goes with --tiny-vae, which is not given")
    }
  }
}
