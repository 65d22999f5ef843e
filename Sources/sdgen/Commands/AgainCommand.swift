import ArgumentParser
import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Reproduces an image from its metadata.
struct AgainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "again",
    abstract: "Reproduce an image from its metadata.",
    usage: "sdgen again <image> [<arguments of sdgen generate> ...]",
    discussion: """
      Images made by sdgen are reproduced exactly, and every pixel is compared (exit status 1 if one \
      differs). For images from the AUTOMATIC1111 web UI or stable-diffusion.cpp, supported settings \
      are applied and the rest are listed. Any argument of sdgen generate may follow and overrides \
      the image's metadata. Without -o, the output is named after the image, with -again. Metadata \
      may ask for much work: the amount is printed to stderr before the run starts.

      EXAMPLES
        sdgen again out.png
        sdgen again out.png --steps 50 -o better.png
      """)

  @Argument(help: ArgumentHelp("The image.", valueName: "image"), completion: .file())
  var picture: String

  /// Arguments that override the image's metadata.
  @OptionGroup(visibility: .hidden) var changes: GenerateOptions

  func run() throws {
    let given = changes.job
    try given.requireKnownScheduler()
    let file = try PictureFile.opened(picture)
    var remembered = try RepeatedJob(file, path: picture, given: given)
    let models = ModelCache()
    try remembered.findFiles(given: given, beside: picture, models.digests)
    var job = given.over(remembered.job)
    if job.model == nil, let name = remembered.modelName, !remembered.usesEmbeddedModel {
      throw Failure(
        .noInput, code: "not-found", "the image was made with the model \(name)", file: picture,
        hint: "pass its location: --model PATH")
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
    // The quality in the metadata applies to its own format.
    let format =
      job.format ?? job.output.flatMap(PictureFormat.init(path:)) ?? .png
    if given.quality == nil, format != file.format { job.quality = nil }
    try job.requireDrawable()
    let drawer = JobDrawing(job)
    if let sampler = remembered.unknownSampler, job.scheduler == nil {
      remembered.warnings.append(
        "the sampler \(sampler) is unknown; \(try drawer.defaultScheduler().name), the model's own,"
          + " is used")
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

  /// The result of the comparison; `differences` is nil if nothing was compared.
  private static func verdict(_ differences: Int?, of image: Image, _ job: RepeatedJob) -> String {
    guard let differences else {
      return "not compared: lossy format, the original pixels are not in the file"
    }
    guard differences > 0 else { return "identical in every pixel" }
    let words =
      "not identical: \(Format.count(differences)) of \(Format.count(image.width * image.height))"
      + " pixels differ"
    return job.job.dtype == nil
      ? words + "; the image does not record its dtype: try --dtype f32 or bf16" : words
  }

  /// The number of different pixels; all if the sizes differ.
  private static func differences(_ first: Image, _ second: Image) -> Int {
    guard first.width == second.width, first.height == second.height else {
      return first.width * first.height
    }
    return (0..<first.width * first.height).count { pixel in
      (0..<3).contains { first.pixels[3 * pixel + $0] != second.pixels[3 * pixel + $0] }
    }
  }
}
