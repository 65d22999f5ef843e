import Engine
import Pictures

/// A second pass that draws a finished picture again at a larger size.
public struct Enlargement: Sendable, Hashable {
  /// How many times wider and higher, above 1 up to 8.
  public var scale: Double
  /// The share of the second pass's steps that is taken: how much of the picture may change.
  public var strength: Double
  /// The second pass's steps; the first's where nil.
  public var steps: Int?

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
    while Enlargement(scale: tenThousandths / 1e4).side(side) == side { tenThousandths += 1 }
    return tenThousandths / 1e4
  }
}

extension DiffusionModel {
  /// Draws a picture in one pass, or in two where the request asks for an enlargement.
  ///
  /// The second pass starts from the first's finished picture, brought to its new size with
  /// Lanczos' kernel, and from the seed's noise of that size. Where a mask keeps a part of the
  /// picture, the second pass keeps it too. There is no second pass of a picture that the safety
  /// checker holds back. What of the picture to start from is put back over the drawn one is put
  /// back last, enlarged as that is.
  ///
  /// - Parameters:
  ///   - progress: as for `generate(_:progress:observer:)`; the second pass begins with the stage
  ///     ``GenerationProgress/Stage/encoding`` again.
  /// - Throws: as `generate(_:progress:observer:)`.
  public func draw(
    _ request: GenerationRequest, progress: ProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> Generation {
    try draw(
      [request], progress: progress.map { progress in { progress($1) } }, observer: observer)[0]
  }

  /// Draws pictures that differ in seeds and noise alone: the first pass of all of them together,
  /// the second, which takes more memory, one by one.
  ///
  /// - Throws: as `generate(_:progress:observer:)`.
  public func draw(
    _ requests: [GenerationRequest], progress: BatchProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> [Generation] {
    var generations: [Generation] = []
    try drawEach(requests, progress: progress, observer: observer) { generations.append($1) }
    return generations
  }

  /// The same, each picture handed over as soon as nothing of it is left to draw.
  ///
  /// - Parameter finished: as for ``generateEach(_:progress:observer:finished:)``.
  /// - Throws: as `generate(_:progress:observer:)`.
  public func drawEach(
    _ requests: [GenerationRequest], progress: BatchProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil,
    finished: (Int, Generation) throws -> Void
  ) throws {
    guard let request = requests.first else { return }
    // What a second pass cannot do is said before the first is drawn.
    try limits.check(request)
    guard let enlargement = request.enlargement else {
      return try generateEach(requests, progress: progress, observer: observer) {
        try finished($0, $1.pastedBack(requests[$0].initial))
      }
    }
    let generations = try generate(requests, progress: progress, observer: observer)
    for (index, first) in generations.enumerated() {
      guard first.safety?.isFlagged != true else {
        try finished(index, first)
        continue
      }
      var larger = requests[index].secondPass(of: enlargement)
      let newWidth = enlargement.side(first.image.width)
      let newHeight = enlargement.side(first.image.height)
      (larger.width, larger.height) = (newWidth, newHeight)
      larger.initial = InitialPicture(
        first.image.resized(width: newWidth, height: newHeight), strength: enlargement.strength,
        mask: request.initial?.mask?.resized(width: newWidth, height: newHeight))
      var second = try generate(
        larger, progress: progress.map { progress in { progress(index, $0) } },
        observer: observer)
      second.add(first)
      try finished(index, second.pastedBack(request.initial))
    }
  }
}

extension Generation {
  /// The same with what is kept of the picture to start from as it was, not as the VAE gives it back.
  fileprivate func pastedBack(_ initial: InitialPicture?) -> Generation {
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
