import ArgumentParser
import Diffusion
import ModelFormats
import OrderedJSON
import Terminal

/// Draws a picture again by what its file tells.
struct AgainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "again",
    abstract: "Draw a picture again by what its file says.",
    discussion: """
      A picture that sdgen drew comes out the same in every pixel, which is checked (exit status 1 \
      where it does not). Of a picture of the AUTOMATIC1111 web UI or of stable-diffusion.cpp what \
      has its like here is taken over, and the rest is listed. Any argument of sdgen generate may \
      follow, and goes before what the picture says.

      EXAMPLES
        sdgen again out.png
        sdgen again out.png --steps 50 -o better.png
      """)

  @Argument(help: ArgumentHelp("The picture.", valueName: "picture"), completion: .file())
  var picture: String

  @Argument(
    parsing: .allUnrecognized,
    help: ArgumentHelp(
      "Arguments of sdgen generate (default of -o: the picture's name with -again).",
      valueName: "arguments"))
  var changes: [String] = []

  func run() throws {
    let file = try PictureFile.read(picture)
    var job = try RepeatedJob(file, path: picture)
    let given = try JobArguments(commandLine: changes)
    try job.findFiles(given: given, beside: picture)
    var arguments = given.over(job.arguments)
    if arguments["model"] == nil, let name = job.modelName, !job.usesEmbeddedModel {
      throw Failure(
        .noInput, code: "not-found", "the picture was drawn with the model \(name)", file: picture,
        hint: "say where it is: --model PATH")
    }
    if arguments["output"] == nil {
      let (stem, ending) = PicturePlan.split(picture)
      arguments["output"] = .string(stem + "-again" + ending)
    }
    let command = try arguments.command()
    for warning in job.warnings where !command.options.output.json {
      Console.note("warning: " + Console.sanitized(warning))
    }
    Interruption.watch()
    var drawing = try Failure.fromDrawing { try command.drawAll(arguments, ModelCache()) }
    drawing.warnings = job.warnings + drawing.warnings
    command.report(drawing)
    if let cancellation = drawing.cancellation { throw Failure(cancellation) }

    let isUnchanged = given.filtered {
      !["Output", "Watching"].contains($0.section) && $0.name != "model"
    }.names.isEmpty
    guard job.isExact, isUnchanged, let image = drawing.pictures.first?.image else { return }
    guard file.isExact else { return }
    let differences = Self.differences(image, file.image)
    if !command.options.output.json {
      Console.note(
        differences == 0
          ? "the same in every pixel"
          : "not the same: \(Format.count(differences)) of"
            + " \(Format.count(image.width * image.height)) pixels differ")
    }
    if differences > 0 { throw Ended(.differs) }
  }

  /// Pixels that are not equal; all where the sizes differ.
  private static func differences(_ first: Image, _ second: Image) -> Int {
    guard first.width == second.width, first.height == second.height else {
      return first.width * first.height
    }
    return (0..<first.width * first.height).count { pixel in
      (0..<3).contains { first.pixels[3 * pixel + $0] != second.pixels[3 * pixel + $0] }
    }
  }
}
