import ArgumentParser
import Diffusion
import ModelFormats

/// Options of prompts.
struct PromptOptions: ParsableArguments {
  @Argument(.prompt) var prompt: String?
  @Option(.promptsFrom) var promptsFrom: String?
  @Option(.negative) var negative: String?
  @Option(.clipSkip) var clipSkip: Int?
  @OptionGroup var style: PromptStyleOptions

  func fill(_ job: inout DrawingJob) {
    job.prompt = prompt
    job.promptsFrom = promptsFrom
    job.negative = negative
    job.clipSkip = clipSkip
    style.fill(&job)
  }
}

/// Options of prompt syntax.
struct PromptStyleOptions: ParsableArguments {
  @Option(.emphasis) var emphasis: PromptStyle.Emphasis?
  @Flag(.plainPrompt) var plainPrompt = false
  @Option(.embedding) var embedding: [String] = []

  func fill(_ job: inout DrawingJob) {
    job.emphasis = emphasis
    job.plainPrompt = plainPrompt ? true : nil
    job.embedding = embedding.isEmpty ? nil : embedding
  }
}
