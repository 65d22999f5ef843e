import Engine

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
}

extension DiffusionModel {
  /// Draws a picture in one pass, or in two where the request asks for an enlargement.
  ///
  /// The second pass starts from the first's finished picture, brought to its new size with
  /// Lanczos' kernel, and from the seed's noise of that size.
  ///
  /// - Parameters:
  ///   - progress: as for ``generate(_:progress:observer:)``; the second pass begins with the stage
  ///     ``GenerationProgress/Stage/encoding`` again.
  /// - Throws: as ``generate(_:progress:observer:)``.
  public func draw(
    _ request: GenerationRequest, progress: ProgressHandler? = nil,
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> Generation {
    guard let enlargement = request.enlargement else {
      return try generate(request, progress: progress, observer: observer)
    }
    let width = request.initial?.image.width ?? request.width ?? defaultSide
    let height = request.initial?.image.height ?? request.height ?? defaultSide
    for side in [width, height] where enlargement.side(side) > 8192 {
      throw GenerationError(
        .request, "enlarged, a side of \(side) pixels has \(enlargement.side(side))",
        hint: "give a smaller size or scale: a side has at most 8192")
    }
    let first = try generate(request, progress: progress, observer: observer)
    var larger = request
    larger.enlargement = nil
    larger.width = enlargement.side(first.image.width)
    larger.height = enlargement.side(first.image.height)
    larger.steps = enlargement.steps ?? request.steps
    larger.noise = nil
    larger.initial = InitialPicture(
      first.image.resized(
        width: enlargement.side(first.image.width), height: enlargement.side(first.image.height)),
      strength: enlargement.strength)
    var second = try generate(larger, progress: progress, observer: observer)
    second.add(first)
    return second
  }
}

extension Generation {
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
