import Diffusion
import Glibc
import ModelFormats
import Pictures
import Terminal

/// Sees a picture come about, and writes what was asked for of it: previews, a contact sheet, an
/// animation.
final class PictureWatch {
  private let job: DrawingJob
  private let plan: PicturePlan
  private let index: Int
  private let model: DiffusionModel
  private let replaces: (previews: Bool, others: Bool)
  /// Previews that were written.
  private(set) var previews: [String] = []
  private var projection: LatentProjection?
  private var entries: [ContactSheet.Entry] = []
  private var frames: [Animation.Frame] = []
  /// The evaluations of the passes before this one, and of this one.
  private var earlier = 0
  private var current = (pass: 0, evaluations: 0)
  /// What previews, and frames of the contact sheet and the animation, took so far.
  private(set) var seconds = 0.0

  /// - Parameter replaces: whether previews, and what else is written, of a run that was stopped are
  ///   replaced.
  init(
    _ job: DrawingJob, _ plan: PicturePlan, _ index: Int, _ model: DiffusionModel,
    replaces: (previews: Bool, others: Bool)
  ) {
    self.replaces = replaces
    self.job = job
    self.plan = plan
    self.index = index
    self.model = model
    // The scale is that of Stable Diffusion 1's autoencoder.
    if model.latentChannels == 4, model.scalingFactor == 0.18215 { projection = .stableDiffusion }
  }

  /// Takes in what there is after an evaluation.
  ///
  /// - Parameter pass: counted from 1; evaluations are numbered through all passes.
  /// - Throws: ``FormatError`` where a preview cannot be written; as ``DiffusionModel/decode(_:observer:)``.
  func see(_ progress: GenerationProgress, pass: Int) throws {
    guard let prediction = progress.prediction else { return }
    let start = Console.seconds()
    defer { seconds += Console.seconds() - start }
    if pass != current.pass { earlier += current.evaluations }
    current = (pass, progress.total)
    let evaluation = earlier + progress.evaluations
    let isPreview =
      job.previewEvery.map { evaluation % $0 == 0 } ?? false
      && progress.evaluations < progress.total
    // Two passes have half of the columns each.
    let columns = job.hires == nil ? 8 : 4
    let isEntry =
      job.contactSheet != nil
      && ContactSheet.evaluations(of: progress.total, columns: columns)
        .contains(progress.evaluations - 1)
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
          evaluation: evaluation, timestep: prediction.timestep,
          sigma: prediction.sigma, latents: prediction.latents, picture: image))
    }
    if job.animation != nil { frames.append(Animation.Frame(image, milliseconds: 120)) }
  }

  private func picture(of latents: Latents) throws -> Image {
    switch job.preview ?? .auto {
    case .auto, .tiny: return try model.decodePreview(latents)
    case .vae: return try model.decode(latents)
    case .latent: return try projected(latents)
    }
  }

  /// The picture by a linear map.
  private func projected(_ latents: Latents) throws -> Image {
    let projection: LatentProjection
    if let known = self.projection {
      projection = known
    } else {
      // One decoded picture tells how this model's latents look; of early predictions, which
      // overshoot, in the range that latents have.
      let square = latents.values.reduce(0) { $0 + $1 * $1 } / Float(latents.values.count)
      let scale = 1 / max(1, square.squareRoot())
      let sample = Latents(latents.values.map { $0 * scale }, shape: latents.shape)
      projection = LatentProjection(fitting: sample, to: try model.decode(sample))
      self.projection = projection
    }
    return projection.image(of: latents)
      .resized(width: 8 * latents.width, height: 8 * latents.height)
  }

  /// Removes the previews, which show what is not to be seen.
  func removePreviews() {
    for file in previews { unlink(file) }
    previews = []
  }

  /// What the steps together give, written but not yet at its place.
  ///
  /// - Parameter image: the picture after the last of them.
  /// - Throws: ``FormatError``.
  func finish(_ image: Image) throws(FormatError) -> [(file: String, writer: FileWriter)] {
    var result: [(file: String, writer: FileWriter)] = []
    func add(_ bytes: [UInt8], _ name: String) throws(FormatError) {
      let file = plan.beside(name, index)
      let writer = try FileWriter(path: file, overwrite: replaces.others)
      try writer.write(bytes)
      result.append((file, writer))
    }
    if let file = job.contactSheet, let sheet = ContactSheet(entries).image() {
      let compression = PictureFile.Compression(PictureFormat(path: file) ?? .png)
      try add(PictureFile.encode(sheet, as: compression), file)
    }
    if let file = job.animation, !frames.isEmpty {
      // All of the finished picture's size, which the frames of a first pass have not.
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
