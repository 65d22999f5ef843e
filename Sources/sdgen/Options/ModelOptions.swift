import ArgumentParser
import Engine

/// The networks, and how they are computed.
struct ModelOptions: ParsableArguments {
  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "The model: a repository, or a file of weights (safetensors, .ckpt, GGUF, .sdflat)"
        + " (default: the embedded model).", valueName: "path"), completion: .file())
  var path: String?

  @Option(
    help: ArgumentHelp(
      "Arithmetic: auto, f32 or bf16; auto is bf16 where the CPU multiplies it, else f32.",
      valueName: "type"))
  var dtype = Arithmetic.auto

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Threads, 1 to 1024 (default: one for each core; one for a small network).",
      valueName: "n"), transform: wholeNumber(in: 1...1024))
  var threads: Int?
}

/// The arithmetic that was asked for.
enum Arithmetic: String, ExpressibleByArgument, CaseIterable {
  case auto
  case f32
  case bf16

  var precision: Precision {
    switch self {
    case .auto: Precision.automatic
    case .f32: .f32
    case .bf16: .bf16
    }
  }
}
