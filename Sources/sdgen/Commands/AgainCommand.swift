import ArgumentParser
import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Draws a picture again by what its file tells.
struct AgainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "again",
    abstract: "Draw a picture again by what its file says.",
    usage: "sdgen again <picture> [<arguments of sdgen generate> ...]",
    discussion: """
      A picture that sdgen drew comes out the same in every pixel, which is checked (exit status 1 \
      where it does not). Of a picture of the AUTOMATIC1111 web UI or of stable-diffusion.cpp what \
      has its like here is taken over, and the rest is listed. Any argument of sdgen generate may \
      follow, and goes before what the picture says; without -o the picture is called by the old \
      one's name with -again. A picture may ask for much: how much work it is \
      goes to stderr before it begins.

      EXAMPLES
        sdgen again out.png
        sdgen again out.png --steps 50 -o better.png
      """)

  @Argument(help: ArgumentHelp("The picture.", valueName: "picture"), completion: .file())
  var picture: String

  /// What goes before what the picture says.
  @OptionGroup(visibility: .hidden) var changes: GenerateOptions

  func run() throws {
    ThreadWaiting.shorten()
    let given = changes.job
    try given.requireKnownScheduler()
    let file = try PictureFile.opened(picture)
    var remembered = try RepeatedJob(file, path: picture, given: given)
    let models = ModelCache()
    try remembered.findFiles(given: given, beside: picture, models.digests)
    var job = given.over(remembered.job)
    if job.model == nil, let name = remembered.modelName, !remembered.usesEmbeddedModel {
      throw Failure(
        .noInput, code: "not-found", "the picture was drawn with the model \(name)", file: picture,
        hint: "say where it is: --model PATH")
    }
    // Files of weights have no variants.
    if given.variant == nil, let path = job.model, !PicturePath.isDirectory(path) {
      job.variant = nil
    }
    if job.output == nil {
      let (stem, ending) = PicturePath.split(picture)
      let isKnown = ending.isEmpty || PictureFormat(path: picture) != nil
      let usual = "." + (file.format == .jpeg ? "jpg" : file.format.rawValue)
      job.output = stem + "-again" + (isKnown ? ending : usual)
    }
    // The quality that the picture tells is that of its own format.
    let format =
      job.format ?? job.output.flatMap(PictureFormat.init(path:)) ?? .png
    if given.quality == nil, format != file.format { job.quality = nil }
    try job.requireDrawable()
    let drawer = JobDrawing(job)
    if let sampler = remembered.unknownSampler, job.scheduler == nil {
      remembered.warnings.append(
        "the sampler \(sampler) is unknown; \(try drawer.defaultScheduler().name), the model's own,"
          + " draws")
    }
    for warning in remembered.warnings where !job.isSilent {
      Console.note("warning: " + Console.sanitized(warning))
    }
    Interruption.watch(quiet: job.isSilent)
    var purpose = DrawingPurpose()
    purpose.keepsImages = true
    purpose.tellsWork = !job.isSilent
    var drawing = try Failure.fromDrawing {
      try drawer.drawAll(models, purpose)
    }
    drawing.warnings = remembered.warnings + drawing.warnings

    let isUnchanged = given.fields.allSatisfy {
      $0.isAboutOutput || $0.name == JobField.model.name
    }
    let isExpected = remembered.isExact && isUnchanged
    let image = drawing.pictures.first?.image
    let differences =
      isExpected && file.isExact ? image.map { Self.differences($0, file.image) } : nil
    drawer.report(drawing, same: differences.map { .bool($0 == 0) } ?? .null)
    try drawing.requireComplete()
    if !job.isSilent, let image, isExpected {
      Console.note(Self.verdict(differences, of: image, remembered))
    }
    if let differences, differences > 0 { throw Ended(.differs) }
  }

  /// What the comparison found; `differences` is nil where there was none.
  private static func verdict(_ differences: Int?, of image: Image, _ job: RepeatedJob) -> String {
    guard let differences else {
      return "not compared: the file was compressed with loss, and does not hold what was drawn"
    }
    guard differences > 0 else { return "the same in every pixel" }
    let words =
      "not the same: \(Format.count(differences)) of \(Format.count(image.width * image.height))"
      + " pixels differ"
    return job.job.dtype == nil
      ? words + "; the picture does not say its arithmetic: try --dtype f32 or bf16" : words
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
