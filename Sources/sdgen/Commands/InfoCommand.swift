import ArgumentParser
import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Prints the generation metadata of an image.
struct InfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Print how an image was made.",
    discussion: """
      Reads the metadata of sdgen, the AUTOMATIC1111 web UI and compatible programs \
      (stable-diffusion.cpp) from PNG, JPEG and WebP files, and that of ComfyUI, InvokeAI and NovelAI \
      from PNG files. The exit status is 1 if there is none.

      EXAMPLE
        sdgen info out.png
      """)

  @Argument(help: ArgumentHelp("The image.", valueName: "image"), completion: .file())
  var picture: String

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    let file = try PictureFile.opened(picture)
    let text =
      file.metadata.parameters.map(Infotext.init(parsing:)) ?? file.foreign?.infotext
    let isKnown = text != nil || file.metadata.job != nil
    guard json || isKnown else {
      throw Failure(
        .differs, code: "mismatch", "no generation metadata found", file: picture,
        hint: "use the original file; many websites strip metadata")
    }
    Console.print(json ? Self.json(file, text).text() : Self.text(file, text))
    if !isKnown { throw Ended(.differs) }
  }

  private static func json(_ file: PictureFile, _ text: Infotext?) -> JSON {
    [
      "version": 1, "format": .string(file.format.rawValue),
      "width": .integer(file.image.width), "height": .integer(file.image.height),
      "parameters": file.metadata.parameters.map { .string($0) } ?? .null,
      "prompt": text.map { .string($0.prompt) } ?? .null,
      "negative_prompt": text.map { .string($0.negativePrompt) } ?? .null,
      "fields": text?.json ?? .null,
      "program": file.foreign.map { .string($0.program) } ?? .null,
      "notes": .array((file.foreign?.notes ?? []).map { .string($0) }),
      "job": file.metadata.job.flatMap { try? JSON(parsing: $0) } ?? .null,
    ]
  }

  /// Lines of names and values; multi-line values keep their lines.
  private static func text(_ file: PictureFile, _ text: Infotext?) -> String {
    var lines: [String] = []
    func add(_ name: String, _ value: String) {
      let parts = value.split(separator: "\n", omittingEmptySubsequences: false)
        .map { Console.sanitized(String($0)) }
      lines.append(
        Console.heading(name + ":") + " " + parts.joined(separator: "\n    "))
    }
    add("Image", "\(file.format.rawValue.uppercased()), \(file.image.width)x\(file.image.height)")
    if let foreign = file.foreign { add("Program", foreign.program) }
    if let text {
      add("Prompt", text.prompt)
      if !text.negativePrompt.isEmpty { add("Negative prompt", text.negativePrompt) }
      for field in text.fields { add(field.name, field.value) }
      let job = file.metadata.job.flatMap { try? JSON(parsing: $0) }
      if let type = job?["arguments"]?["dtype"]?.string { add("Arithmetic", type) }
      for note in file.foreign?.notes ?? [] { add("Note", note) }
    } else if let job = file.metadata.job {
      add("Job", job)
    }
    return lines.joined(separator: "\n")
  }
}
