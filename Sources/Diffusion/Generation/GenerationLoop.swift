import Engine
import ModelFormats

/// The steps of images that differ only in seed and noise, each computed when it is asked for. Nothing
/// is computed ahead, so whoever wants to stop asks for no more.
///
/// The first pass is made for all images together. If a ``HiresPass`` is asked for, a second one
/// follows, which takes more memory, for one image after another: from the first pass's finished
/// image, resized with Lanczos' kernel, and from the seed's noise of the new size. If a mask keeps a
/// part of the image, the second pass keeps it too. There is no second pass of an image that the safety
/// checker flagged. What of the init image is pasted back over the generated one is pasted last,
/// enlarged as that is.
package struct GenerationLoop {
  private let model: DiffusionModel
  private let requests: [GenerationRequest]
  private let observer: ((String, StepTiming) -> Void)?
  /// nil if nothing is asked for, and after an image without a second pass.
  private var pass: GenerationPass?
  /// The first pass's last step of the images that wait for the second pass.
  private var waiting: ArraySlice<GenerationStep> = []
  /// That of the image whose second pass this is.
  private var first: GenerationStep?

  /// - Parameter observer: called after each layer with its network and what it took.
  /// - Throws: ``GenerationError``, also where the requests differ in more than seed and noise and for
  ///   what a second pass cannot do; ``FormatError`` where the scheduler cannot be had with the
  ///   model's configuration; ``EngineError``.
  package init(
    _ model: DiffusionModel, _ requests: [GenerationRequest],
    observer: ((String, StepTiming) -> Void)? = nil
  ) throws {
    self.model = model
    self.requests = requests
    self.observer = observer
    guard let request = requests.first else { return }
    guard requests.allSatisfy({ $0.differsOnlyInNoise(from: request) }) else {
      throw GenerationError(
        .request, "images of a batch may differ only in seed and noise",
        hint: "generate them one by one")
    }
    // What a second pass cannot do is said before the first is drawn.
    try model.limits.check(request)
    pass = try GenerationPass(model, requests, number: 1, observer: observer)
  }

  /// The next step; nil after the last.
  ///
  /// - Throws: ``GenerationError``; ``EngineError``. After an error no more steps are to be asked for.
  package mutating func next() throws -> GenerationStep? {
    while true {
      if var step = try pass?.next() {
        step.imageIndex = first?.imageIndex ?? step.imageIndex
        guard var result = step.result else { return step }
        if first == nil, requests[0].hiresPass != nil {
          // Finished after its second pass.
          waiting.append(step)
          continue
        }
        if let first = first?.result { result.add(first) }
        step.result = result.pastedBack(requests[step.imageIndex].initial)
        return step
      }
      guard let hiresPass = requests.first?.hiresPass, let step = waiting.popFirst(),
        let result = step.result
      else { return nil }
      first = step
      guard result.safety?.isFlagged != true else {
        pass = nil
        return step
      }
      pass = try GenerationPass(
        model, [requests[step.imageIndex].secondPass(from: result.image, hiresPass)], number: 2,
        observer: observer)
    }
  }
}

extension DiffusionModel {
  /// Generates an image in one go.
  ///
  /// - Throws: as ``GenerationLoop``.
  package func draw(_ request: GenerationRequest) throws -> Generation {
    try draw([request])[0]
  }

  /// Generates images that differ only in seed and noise.
  ///
  /// - Throws: as ``GenerationLoop``.
  package func draw(_ requests: [GenerationRequest]) throws -> [Generation] {
    var loop = try GenerationLoop(self, requests)
    var results: [Generation] = []
    while let step = try loop.next() {
      if let result = step.result { results.append(result) }
    }
    return results
  }
}
