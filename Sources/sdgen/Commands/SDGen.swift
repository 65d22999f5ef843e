import ArgumentParser
import Checkpoint
import Terminal

/// Generates images from text.
@main
struct SDGen: Program {
  static let configuration = CommandConfiguration(
    commandName: "sdgen",
    abstract: "Generate images from text on the CPU, with Stable Diffusion v1.5 weights.",
    discussion: """
      EXAMPLES
        sdgen "a red circle on a blue background"
        sdgen "a lighthouse at dusk" --model sd15.sdflat --steps 30 -o a.png
        sdgen again a.png --steps 50
        sdgen batch jobs.jsonl

      Exit status: 0 ok; 1 a job failed or an image was not reproduced; 64 usage; 65 malformed data; 66 missing input; 70 internal error; \
      73 cannot create output; 74 I/O error; 130 interrupted.
      """,
    version: BuildVersion.text("sdgen", toolVersion),
    subcommands: [
      GenerateCommand.self, BatchCommand.self, AgainCommand.self, InfoCommand.self,
      TokensCommand.self, ScheduleCommand.self, NoiseCommand.self, EncodeCommand.self,
      DecodeCommand.self, SimilarityCommand.self, BenchCommand.self, EnginesCommand.self,
    ],
    defaultSubcommand: GenerateCommand.self)

  static func main() {
    ThreadWaiting.shorten()
    start()
  }

  static func check(_ arguments: [String]) throws(Failure) {
    guard let first = arguments.first else {
      throw .usage(
        "missing prompt",
        hint: "run sdgen \"a red circle\", or use --prompts-from; see sdgen --help")
    }
    guard first != "help" else { return }
    let others: [any ParsableCommand.Type] = configuration.subcommands.filter {
      $0 != GenerateCommand.self
    }
    let rest = Array(arguments.dropFirst())
    guard let other = others.first(where: { $0.configuration.commandName == first }) else {
      try ForeignOption.check(
        first == GenerateCommand.configuration.commandName ? rest : arguments)
      return
    }
    if other == BatchCommand.self || other == AgainCommand.self {
      let file = other == BatchCommand.self ? "jobs.jsonl" : "picture.png"
      try ForeignOption.checkPlace(rest, form: "sdgen \(first) \(file)")
      try ForeignOption.check(rest, CommandFlags.generate.with(CommandFlags(other)))
    } else {
      try ForeignOption.check(rest, CommandFlags(other), isGenerate: false)
    }
  }
}
