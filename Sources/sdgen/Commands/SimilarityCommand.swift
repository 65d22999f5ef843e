import ArgumentParser
import Checkpoint
import Diffusion
import Engine
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Compares images with texts by CLIP.
struct SimilarityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "similarity",
    abstract: "Compare images with texts by CLIP, and name the best text of each image.",
    discussion: """
      The model is a whole CLIP: a directory with config.json, model.safetensors, the tokenizer's \
      files and preprocessor_config.json, such as openai/clip-vit-base-patch32. Each image and each \
      text becomes a vector; their cosine, times the model's scale, is the similarity. The share of a \
      text is the softmax over the texts of an image: with labels as texts, zero-shot \
      classification.

      EXAMPLES
        sdgen similarity a.png b.png --model clip --text "a cat" --text "a dog"
        sdgen similarity *.png --model clip --text red --text blue -o map.svg
      """)

  @Argument(
    help: ArgumentHelp("The images: PNG, JPEG or WebP.", valueName: "image"), completion: .file())
  var pictures: [String]

  @Option(
    name: .customLong("model"),
    help: ArgumentHelp("The directory of a whole CLIP.", valueName: "path"), completion: .file())
  var path: String

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp("A text to compare with; can be repeated.", valueName: "text"))
  var text: [String]

  @OptionGroup var chart: ChartOptions

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    if text.isEmpty { throw ValidationError("at least one --text is required") }
  }

  func run() throws {
    try Failure.fromDrawing(compare)
  }

  private func compare() throws {
    let writer = try chart.writer()
    var warnings: [String] = []
    let images = try pictures.map { path in
      try PictureFile.opened(path) { warnings.append($0) }.image
    }
    let checkpoint = try ModelCheckpoint.open(path)
    try checkpoint.requireUndamaged()
    let bar = ProgressBar("similarity", elsewhere: json ? .nothing : .lines)
    defer { bar.finish() }
    let model = try CLIPModel(checkpoint) { progress in
      bar.update(
        Double(progress.loaded) / Double(max(1, progress.total)),
        "\(progress.component): \(progress.loaded) of \(progress.total) tensors")
    }
    warnings += checkpoint.warnings + model.warnings + model.tokenizerNotes
    let count = text.count + images.count
    var texts: [[Float]] = []
    for (index, text) in text.enumerated() {
      bar.update(Double(index) / Double(count), "text \(index + 1) of \(self.text.count)")
      let embedding = try model.embedding(of: text)
      if embedding.droppedTokenCount > 0 {
        warnings.append(
          "text \(index + 1) is \(embedding.droppedTokenCount.of("token")) too long; dropped: "
            + embedding.droppedText)
      }
      texts.append(embedding.vector)
    }
    var rows: [[Float]] = []
    for (index, image) in images.enumerated() {
      bar.update(
        Double(text.count + index) / Double(count), "image \(index + 1) of \(images.count)")
      rows.append(try model.embedding(of: image))
    }
    bar.finish()
    let matrix = model.similarities(pictures: rows, texts: texts)
    try writer?.finish(SimilarityChart(matrix: matrix, pictures: pictures, texts: text).svg())
    if json {
      Console.print(report(matrix, warnings).text())
      return
    }
    for warning in warnings { Console.note("warning: " + Console.sanitized(warning)) }
    Console.print(table(matrix))
    chart.report()
  }

  private func table(_ matrix: SimilarityMatrix) -> String {
    var table = Table([
      ("image", .left), ("text", .left), ("cosine", .right), ("similarity", .right),
      ("share", .right),
    ])
    let (logits, shares) = (matrix.logits, matrix.probabilities)
    for (row, picture) in pictures.enumerated() {
      for (column, text) in text.enumerated() {
        table.add([
          column == 0 ? Console.sanitized(picture) : "", Console.sanitized(text),
          Format.decimals(Double(matrix.cosines[row][column]), 4),
          Format.decimals(Double(logits[row][column]), 3),
          Format.decimals(100 * Double(shares[row][column]), 1) + " %",
        ])
      }
    }
    var lines = [
      table.text(),
      "best text of each image (scale \(Format.decimals(Double(matrix.scale), 3)))",
    ]
    for (picture, best) in zip(pictures, matrix.best) {
      lines.append("  " + Console.sanitized("\(picture): \(text[best])"))
    }
    return lines.joined(separator: "\n")
  }

  private func report(_ matrix: SimilarityMatrix, _ warnings: [String]) -> JSON {
    func json(_ rows: [[Float]]) -> JSON {
      .array(rows.map { .array($0.map { .number(Double($0)) }) })
    }
    var object: JSONObject = [
      "version": 1, "images": .array(pictures.map { .string($0) }),
      "texts": .array(text.map { .string($0) }), "scale": .number(Double(matrix.scale)),
      "similarity": json(matrix.logits), "cosine": json(matrix.cosines),
      "probabilities": json(matrix.probabilities),
      "best": .array(
        zip(matrix.best, matrix.probabilities).map { best, shares in
          [
            "text": .string(text[best]), "index": .integer(best),
            "probability": .number(Double(shares[best])),
          ]
        }),
      "image_embeds": json(matrix.pictures), "text_embeds": json(matrix.texts),
      "warnings": .array(warnings.map { .string($0) }),
    ]
    if let output = chart.output { object["output"] = .string(output) }
    return .object(object)
  }
}
