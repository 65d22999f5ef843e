import ArgumentParser
import Diffusion
import Terminal

/// Generates images from a prompt.
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Generate images from a prompt.",
    discussion: """
      The same prompt, seed, size, scheduler, steps and guidance always give the same image. A seed \
      gives the same noise as torch on a CPU.

      EXAMPLES
        sdgen "a red circle on a blue background"
        sdgen "a lighthouse at dusk" --model sd15.sdflat --negative "people" --seed 7
        sdgen "a lighthouse in winter" --init photo.jpg --strength 0.6
      """)

  @OptionGroup var options: GenerateOptions

  func validate() throws {
    do throws(Failure) {
      try options.job.requireDrawable()
    } catch {
      throw ValidationError(error.message)
    }
  }

  func run() throws {
    let drawing = JobDrawing(options.job)
    Interruption.watch(quiet: drawing.job.isSilent)
    try drawing.drawAndReport()
  }
}
