import Diffusion
import ModelFormats

/// Sees a picture come about, and writes what was asked for of it: previews, a contact sheet, an
/// animation.
final class PictureWatch {
  private let options: GenerateOptions
  private let plan: PicturePlan
  private let index: Int
  private let model: DiffusionModel
  private var projection: LatentProjection?
  private var entries: [ContactSheet.Entry] = []
  private var frames: [Animation.Frame] = []

  init(_ options: GenerateOptions, _ plan: PicturePlan, _ index: Int, _ model: DiffusionModel) {
    self.options = options
    self.plan = plan
    self.index = index
    self.model = model
    // The scale is that of Stable Diffusion 1's autoencoder.
    if model.latentChannels == 4, model.scalingFactor == 0.18215 { projection = .stableDiffusion }
  }

  /// Takes in what there is after an evaluation.
  ///
  /// - Throws: ``FormatError`` where a preview cannot be written; as ``DiffusionModel/decode(_:observer:)``.
  func see(_ progress: GenerationProgress) throws {
    guard let prediction = progress.prediction else { return }
    let watch = options.watch
    let isPreview =
      watch.previewEvery.map { progress.evaluations % $0 == 0 } ?? false
      && progress.evaluations < progress.total
    let isEntry =
      watch.contactSheet != nil
      && ContactSheet.evaluations(of: progress.total).contains(progress.evaluations - 1)
    guard isPreview || isEntry || watch.animation != nil else { return }
    let image = try picture(of: prediction.picture)
    if isPreview {
      try PictureFile.write(
        image, as: options.output.compression,
        to: plan.previewFile(index, evaluation: progress.evaluations),
        overwrite: options.output.force)
    }
    if isEntry {
      entries.append(
        ContactSheet.Entry(
          evaluation: progress.evaluations, timestep: prediction.timestep,
          sigma: prediction.sigma, latents: prediction.latents, picture: image))
    }
    if watch.animation != nil { frames.append(Animation.Frame(image, milliseconds: 120)) }
  }

  private func picture(of latents: Latents) throws -> Image {
    switch options.watch.preview {
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

  /// Writes what the steps together give.
  ///
  /// - Parameter image: the picture after the last of them.
  /// - Throws: ``FormatError``.
  func finish(_ image: Image) throws(FormatError) {
    let overwrite = options.output.force
    if let file = options.watch.contactSheet, let sheet = ContactSheet(entries).image() {
      try PictureFile.write(
        sheet, as: PictureFile.Compression(PictureFormat(path: file) ?? .png),
        to: plan.beside(file, index), overwrite: overwrite)
    }
    if let file = options.watch.animation, let first = frames.first {
      // Of a second pass the frames are the first's.
      let last = image.resized(width: first.image.width, height: first.image.height)
      let animation = Animation(frames + [Animation.Frame(last, milliseconds: 1500)])
      let bytes = try animation.encode(
        as: PictureFile.Compression(PictureFormat(path: file) ?? .webp))
      let writer = try FileWriter(path: plan.beside(file, index), overwrite: overwrite)
      try writer.write(bytes)
      try writer.commit()
    }
  }
}
