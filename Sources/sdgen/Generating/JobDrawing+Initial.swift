import Diffusion
import ModelFormats
import Pictures
import Terminal

extension JobDrawing {
  /// The job's init image, at the output size.
  ///
  /// - Throws: ``FormatError`` if a file is not an image; ``Failure`` for an unsupported size.
  func initialPicture(_ warnings: inout [String]) throws -> InitialPicture? {
    guard let path = job.initial else { return nil }
    let image = try PictureFile.opened(path) { warn($0, &warnings) }.image
    // As in diffusers: sides are rounded down to multiples of 8.
    let width = job.width ?? image.width / 8 * 8
    let height = job.height ?? image.height / 8 * 8
    guard width > 0, height > 0 else {
      throw Failure(
        .data, code: "unsupported", "the \(image.width)x\(image.height) image is too small",
        file: path, hint: "use at least 8x8 pixels, or set --width and --height")
    }
    let padding = job.padding
    let sides = [
      width + (padding.map { $0.left + $0.right } ?? 0),
      height + (padding.map { $0.top + $0.bottom } ?? 0),
    ]
    for side in sides where side > 8192 {
      throw Failure.usage(
        "unsupported side of \(side) pixels",
        hint: "set a size up to 8192 with --width and --height")
    }
    var result = image.resized(width: width, height: height)
    let picture = try job.mask.map { path in
      try maskImage(path, width: width, height: height, &warnings)
    }
    var mask = picture.map { Mask($0) }
    var coverage = picture.map { Coverage($0) } ?? .nothing(width: width, height: height)
    if let padding {
      result = result.padded(padding)
      mask = (mask ?? .keeping(width: width, height: height)).padded(padding)
      coverage = coverage.padded(padding)
    }
    var initial = InitialPicture(
      result, strength: job.initialStrength, mask: mask)
    if job.pasteBack == true { initial.coverage = coverage }
    return initial
  }

  /// The mask as an image, at the output size: light where the init image is repainted.
  ///
  /// Its colors count, as in diffusers. If they say nothing and its transparency does, that counts: what
  /// is opaque is repainted, as in the web UI.
  private func maskImage(
    _ path: String, width: Int, height: Int, _ warnings: inout [String]
  ) throws -> Image {
    func effect(_ image: Image) -> Mask.Effect { Mask(image).effect }
    let colors = try PictureFile.opened(path) { warn($0, &warnings) }.image
      .resized(width: width, height: height)
    let opacity = try PictureFile.readOpacity(path)?.resized(width: width, height: height)
    if let opacity, effect(opacity) == .both {
      if effect(colors) != .both {
        warn(
          "the mask \(path) differs only in transparency: what is opaque is repainted, as in the web"
            + " UI, and its colors are not used", &warnings)
        return opacity
      }
      if Mask(opacity) != Mask(colors) {
        warn(
          "the transparency of the mask \(path) is not used: what is light in its colors is"
            + " repainted, under transparent pixels too", &warnings)
      }
    }
    switch effect(colors) {
    case .both: break
    case .keepsEverything:
      warn(
        "the mask \(path) keeps everything: no part of it is light, so nothing is repainted",
        &warnings)
    case .repaintsEverything:
      warn(
        "the mask \(path) repaints everything: no part of it is dark, so nothing is kept", &warnings
      )
    }
    return colors
  }
}
