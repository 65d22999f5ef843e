import Diffusion
import Glibc
import ModelFormats
import Pictures
import Terminal

/// Observes the generation of an image and writes what was requested: previews, a contact sheet, an
/// animation.
final class PictureWatch {
  private let job: DrawingJob
  private let plan: PicturePlan
  private let index: Int
  private let model: DiffusionModel
  private let replaces: (previews: Bool, others: Bool)
  /// The written previews.
  private(set) var previews: [String] = []
  private var projection: LatentProjection?
  private var entries: [ContactSheet.Entry] = []
  private var frames: [Animation.Frame] = []
  /// The evaluations of earlier passes, and of this one.
  private var earlier = 0
  private var current = (pass: 0, evaluations: 0)
  /// What previews, and frames of the contact sheet and the animation, took so far.
  private(set) var seconds = 0.0

  /// - Parameter replaces: whether to replace files of an interrupted run.
  init(
    _ job: DrawingJob, _ plan: PicturePlan, _ index: Int, _ model: DiffusionModel,
    replaces: (previews: Bool, others: Bool)
  ) {
    self.replaces = replaces
    self.job = job
    self.plan = plan
    self.index = index
    self.model = model
    projection = LatentProjection.known(for: model.codec)
  }

  /// Takes in what there is after an evaluation; evaluations are numbered through all passes.
  ///
  /// - Throws: ``FormatError`` where a preview cannot be written; as ``DiffusionModel/decode(_:observer:)``.
  func see(_ step: GenerationStep) throws {
    guard let prediction = step.prediction else { return }
    let start = Console.seconds()
    defer { seconds += Console.seconds() - start }
    if step.pass != current.pass { earlier += current.evaluations }
    current = (step.pass, step.evaluationCount)
    let evaluation = earlier + step.evaluation
    let isPreview =
      job.previewEvery.map { evaluation % $0 == 0 } ?? false
      && step.evaluation < step.evaluationCount
    // Two passes have half of the columns each.
    let columns = job.hires == nil ? 8 : 4
    let isEntry =
      job.contactSheet != nil
      && ContactSheet.evaluations(of: step.evaluationCount, columns: columns)
        .contains(step.evaluation - 1)
    guard isPreview || isEntry || job.animation != nil else { return }
    let image = try picture(of: prediction.picture)
    if isPreview {
      let file = plan.previewFile(index, evaluation: evaluation)
      try PictureFile.write(
        image, as: job.compression, to: file,
        overwrite: replaces.previews)
      previews.append(file)
    }
    if isEntry {
      entries.append(
        ContactSheet.Entry(
          evaluation: evaluation, prediction, picture: image,
          decoded: rows.contains(.decoded) ? try picture(of: prediction.mixed) : nil))
    }
    if job.animation != nil { frames.append(Animation.Frame(image, milliseconds: 120)) }
  }

  /// The rows of the contact sheet.
  private var rows: [ContactSheet.Row] {
    job.contactSheetRows.flatMap(ContactSheet.Row.list) ?? ContactSheet.Row.standard
  }

  private func picture(of latents: Latents) throws -> Image {
    switch job.preview ?? .auto {
    case .auto, .tiny: return try model.decodePreview(latents)
    case .vae: return try model.decode(latents)
    case .latent: return try projected(latents)
    }
  }

  /// The image by a linear map of the latents.
  private func projected(_ latents: Latents) throws -> Image {
    let projection: LatentProjection
    if let known = self.projection {
      projection = known
    } else {
      // One decoded image calibrates the map for this model's latents; early predictions, which
      // overshoot, are scaled to the latents' range.
      let square = latents.values.reduce(0) { $0 + $1 * $1 } / Float(latents.values.count)
      let scale = 1 / max(1, square.squareRoot())
      let sample = Latents(latents.values.map { $0 * scale }, shape: latents.shape)
      projection = LatentProjection(fitting: sample, to: try model.decode(sample))
      self.projection = projection
    }
    return projection.image(of: latents)
      .resized(width: 8 * latents.width, height: 8 * latents.height)
  }

  /// Removes the previews of a flagged image.
  func removePreviews() {
    for file in previews { unlink(file) }
    previews = []
  }

  /// The files about all steps, written but not yet in place.
  ///
  /// - Parameter image: the final image.
  /// - Throws: ``FormatError``.
  func finish(_ image: Image) throws(FormatError) -> [(file: String, writer: FileWriter)] {
    var result: [(file: String, writer: FileWriter)] = []
    func add(_ bytes: [UInt8], _ name: String) throws(FormatError) {
      let file = plan.beside(name, index)
      let writer = try FileWriter(path: file, overwrite: replaces.others)
      try writer.write(bytes)
      result.append((file, writer))
    }
    if let file = job.contactSheet, let sheet = ContactSheet(entries, rows: rows).image() {
      let compression = PictureFile.Compression(PictureFormat(path: file) ?? .png)
      try add(PictureFile.encode(sheet, as: compression), file)
    }
    if let file = job.animation, !frames.isEmpty {
      // All frames have the final size; those of a first pass are resized.
      let sized = frames.map { frame in
        Animation.Frame(
          frame.image.resized(width: image.width, height: image.height),
          milliseconds: frame.milliseconds)
      }
      let animation = Animation(sized + [Animation.Frame(image, milliseconds: 1500)])
      try add(
        animation.encode(as: PictureFile.Compression(PictureFormat(path: file) ?? .webp)), file)
    }
    return result
  }
}
