import ArgumentParser
import Checkpoint
import Diffusion
import ModelGraph
import OrderedJSON
import Terminal

/// Shows the text encoder's tokens for a prompt.
struct TokensCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokens",
    abstract: "Show the tokens of a prompt, their ids and weights, by chunk.",
    discussion: """
      Start, end and padding tokens are omitted. A prompt that changes from step to step, such as \
      [red:blue:0.5], is shown for each range of steps.

      EXAMPLES
        sdgen tokens "a (red:1.2) circle BREAK on blue"
        sdgen tokens "a photo of <cat>" --embedding cat.safetensors:<cat> --json
      """)

  @Argument(help: ArgumentHelp("The prompt.", valueName: "prompt"))
  var text: String

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp(
      "The model whose tokenizer is used (default: the bundled model).", valueName: "path"),
    completion: .file())
  var path: String?

  @OptionGroup var style: PromptStyleOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Steps, 1 to 1000, for prompts that change from step to step (default: 25).",
      valueName: "n"), transform: wholeNumber(in: 1...1000))
  var steps = 25

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    do throws(JobError) {
      try DrawingJob.checkPrompt(text)
    } catch {
      throw ValidationError(error.message.text { "--" + $0 })
    }
  }

  func run() throws {
    try Failure.fromDrawing(show)
  }

  private func show() throws {
    var job = DrawingJob()
    style.fill(&job)
    let promptStyle = job.promptStyle
    let checkpoint = try EmbeddedModel.open(orCheckpointAt: path)
    let embeddings = try EmbeddingArgument.load(style.embedding)
    let encoder = checkpoint[.textEncoder]?.configuration
      .flatMap { try? CLIPTextConfiguration($0.object) }
    let tokenizer = try DiffusionModel.tokenizer(of: checkpoint)
    if let encoder {
      try tokenizer.definition.check(embeddings: encoder.vocabularySize, of: checkpoint.path)
    }
    let length = tokenizer.length(positions: encoder?.maximumPositions ?? 77)
    for embedding in embeddings where embedding.count > length - 2 {
      throw Failure.usage(
        "\(embedding.count.of("vector")) of \(embedding.token) \(embedding.count == 1 ? "does" : "do") not fit into \((length - 2).of("token"))"
      )
    }
    let reader = PromptReader(
      tokenizer, embeddings: embeddings, length: length,
      vocabularySize: encoder?.vocabularySize ?? 49_408)
    let stretches = try reader.schedule(of: text, promptStyle, steps: steps).map {
      Stretch(part: $0, encoding: try reader.read($0.prompt, promptStyle))
    }
    var warnings = embeddings.flatMap { embedding in
      embedding.warnings.map { "\(embedding.path): \($0)" }
    }
    warnings += tokenizer.definition.notes
    for warning in stretches.flatMap(\.warnings) where !warnings.contains(warning) {
      warnings.append(warning)
    }
    if json {
      let report: JSON = [
        "version": 1, "capacity": .integer(length - 2), "steps": .integer(steps),
        "stretches": .array(stretches.map(\.json)),
        "warnings": .array(warnings.map { .string($0) }),
      ]
      Console.print(report.text())
      return
    }
    for warning in warnings { Console.note("warning: " + Console.sanitized(warning)) }
    for stretch in stretches {
      if stretches.count > 1 {
        let steps = stretch.part.steps
        let range =
          steps.count == 1
          ? "step \(steps.lowerBound)" : "steps \(steps.lowerBound) to \(steps.upperBound)"
        Console.print("\(range): " + Console.sanitized(stretch.part.prompt))
      }
      stretch.print(capacity: length - 2)
    }
  }
}

/// The encoding for a range of steps.
private struct Stretch {
  let part: PromptSchedule.Stretch
  let encoding: PromptEncoding

  var warnings: [String] {
    encoding.droppedTokenCount == 0
      ? encoding.warnings
      : encoding.warnings + [
        "the prompt is \(encoding.droppedTokenCount.of("token")) too long; dropped: "
          + encoding.droppedText
      ]
  }

  func print(capacity: Int) {
    var table = Table([
      ("chunk", .right), ("position", .right), ("id", .right), ("weight", .right), ("token", .left),
    ])
    for (number, chunk) in encoding.chunks.enumerated() {
      for (position, token) in chunk.tokens.enumerated() {
        table.add([
          String(number + 1), String(position + 1), String(token.id),
          Format.decimals(Double(token.weight), 3), Console.sanitized(token.text),
        ])
      }
    }
    Console.print(table.text())
    let count = encoding.tokenCount
    Console.print(
      "\(count.of("token")) in \(encoding.chunks.count) "
        + (encoding.chunks.count == 1 ? "chunk" : "chunks") + " of \(capacity)")
  }

  var json: JSON {
    [
      "from_step": .integer(part.steps.lowerBound), "to_step": .integer(part.steps.upperBound),
      "prompt": .string(part.prompt),
      "tokens": .integer(encoding.tokenCount),
      "chunks": .array(
        encoding.chunks.map { chunk in
          [
            "ids": .array(chunk.ids.map { .integer($0) }),
            "tokens": .array(
              chunk.tokens.map { token in
                [
                  "id": .integer(token.id), "text": .string(token.text),
                  "weight": .number(Double("\(token.weight)") ?? Double(token.weight)),
                ]
              }),
          ]
        }),
      "dropped_tokens": .integer(encoding.droppedTokenCount),
      "dropped_text": .string(encoding.droppedText),
    ]
  }
}
