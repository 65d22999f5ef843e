import Pictures

/// A second pass that draws a finished picture again at a larger size.
public struct HiresPass: Sendable, Hashable {
  /// How many times wider and higher, above 1 up to 8.
  public var scale: Double
  /// The share of the second pass's steps that is taken: how much of the picture may change.
  public var strength: Double
  /// The second pass's steps; the first's where nil.
  public var steps: Int?

  /// A second pass, by default with the steps of the first.
  public init(scale: Double, strength: Double = 0.7, steps: Int? = nil) {
    self.scale = scale
    self.strength = strength
    self.steps = steps
  }

  /// The side that a side becomes: a multiple of 8, rounded down.
  public func side(_ side: Int) -> Int {
    max(side, Int(Double(side) * scale) / 8 * 8)
  }

  /// The least scale, of four decimals, by which a side grows; nil where no larger one is drawn.
  package static func leastScale(of side: Int) -> Double? {
    guard side + 8 <= DrawingLimits.longestSide else { return nil }
    var tenThousandths = (Double(side + 8) / Double(side) * 1e4).rounded(.up)
    // The product may be just short of the side where it should be equal.
    while HiresPass(scale: tenThousandths / 1e4).side(side) == side { tenThousandths += 1 }
    return tenThousandths / 1e4
  }
}

extension GenerationRequest {
  /// The pass that generates a finished image again at its larger size.
  func secondPass(from image: Image, _ hiresPass: HiresPass) -> GenerationRequest {
    let (newWidth, newHeight) = (hiresPass.side(image.width), hiresPass.side(image.height))
    var larger = secondPass(of: hiresPass)
    (larger.width, larger.height) = (newWidth, newHeight)
    larger.initial = InitialPicture(
      image.resized(width: newWidth, height: newHeight), strength: hiresPass.strength,
      mask: initial?.mask?.resized(width: newWidth, height: newHeight))
    return larger
  }
}

extension Generation {
  /// The same with what is kept of the picture to start from as it was, not as the VAE gives it back.
  func pastedBack(_ initial: InitialPicture?) -> Generation {
    guard let initial, let coverage = initial.coverage, safety?.isFlagged != true else {
      return self
    }
    let (width, height) = (image.width, image.height)
    var result = self
    result.image = coverage.resized(width: width, height: height)
      .blended(image, over: initial.image.resized(width: width, height: height))
    return result
  }

  /// Counts the times of a pass before this one in, and takes its noise as where it all began.
  mutating func add(_ earlier: Generation) {
    noise = earlier.noise
    timings.textEncoder += earlier.timings.textEncoder
    timings.unet = earlier.timings.unet + timings.unet
    timings.scheduler += earlier.timings.scheduler
    timings.vae += earlier.timings.vae
    timings.total += earlier.timings.total
  }
}
