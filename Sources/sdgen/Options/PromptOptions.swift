import ArgumentParser
import Diffusion
import ModelFormats

/// What the picture shows.
struct PromptOptions: ParsableArguments {
  @Argument(
    help: ArgumentHelp(
      "What the picture shows, up to 16384 bytes; (words:1.2) weigh more, [words] less, BREAK begins"
        + " a new chunk (default: none; required without --prompts-from).",
      valueName: "prompt"))
  var text: String?

  @Option(
    help: ArgumentHelp(
      "Draw each line of this file, or of standard input for -, up to 10000; lines that begin with"
        + " # are left out (default: none).", valueName: "file"), completion: .file())
  var promptsFrom: String?

  @Option(
    help: ArgumentHelp("What the picture should not show (default: nothing).", valueName: "text"))
  var negative = ""

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The text encoder's layer to take, counted from the last, 1 to the number of layers: 12 in"
        + " Stable Diffusion v1.5, 128 at most (default: 1).", valueName: "n"),
    transform: wholeNumber(in: 1...128))
  var clipSkip = 1

  @OptionGroup var style: PromptStyleOptions

  /// Sets what a request says of prompts.
  func apply(to request: inout GenerationRequest) {
    request.negativePrompt = negative
    request.promptStyle = style.style
    request.promptStyle.clipSkip = clipSkip
  }

  func validate() throws {
    guard !(text ?? "").utf8.contains(0), !negative.utf8.contains(0) else {
      throw ValidationError("a prompt holds a zero character; leave it out")
    }
    for (name, prompt) in [("the prompt", text ?? ""), ("--negative", negative)] {
      try checkPromptLength(name, prompt)
    }
    guard (text == nil) != (promptsFrom == nil) else {
      throw ValidationError(
        text == nil
          ? "give a prompt, or --prompts-from" : "give a prompt or --prompts-from, not both"
      )
    }
  }
}

/// - Throws: `ValidationError` for a prompt that would take gigabytes of memory.
func checkPromptLength(_ name: String, _ prompt: String) throws {
  let limit = GenerationRequest.promptLimit
  guard !FileName.isNotUTF8(prompt) else {
    throw ValidationError("\(name) is not UTF-8")
  }
  guard prompt.utf8.count <= limit else {
    throw ValidationError(
      "\(name) has \(prompt.utf8.count) bytes; \(limit) is the limit: shorten it")
  }
}

/// How prompts are read.
struct PromptStyleOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "How weights act, by the web UI's names: original, no-norm, ignore, or none to read brackets"
        + " as text.", valueName: "name"))
  var emphasis = PromptStyle.Emphasis.original

  @Flag(help: "Read prompts as diffusers does: no weights, and one chunk of 75 tokens.")
  var plainPrompt = false

  @Option(
    name: .customLong("embedding"),
    help: ArgumentHelp(
      "Learned vectors of a textual inversion, and the word that stands for them; may be given"
        + " several times (default: none; the word: the file's).", valueName: "file[:word]"),
    completion: .file())
  var embeddings: [String] = []

  var style: PromptStyle {
    var style = PromptStyle()
    style.emphasis = emphasis
    style.isPlain = plainPrompt
    return style
  }

  func validate() throws {
    if plainPrompt, emphasis != .original {
      throw ValidationError("--plain-prompt and --emphasis exclude each other")
    }
  }
}

extension PromptStyle.Emphasis: ExpressibleByArgument {}
