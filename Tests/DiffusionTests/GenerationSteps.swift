import Diffusion
import Engine
import Testing

extension DiffusionModel {
  /// All steps of images, and the images.
  func steps(
    _ requests: [GenerationRequest], observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> (steps: [GenerationStep], results: [Generation]) {
    var loop = try GenerationLoop(self, requests, observer: observer)
    var steps: [GenerationStep] = []
    while let step = try loop.next() { steps.append(step) }
    return (steps, steps.compactMap(\.result))
  }

  /// All steps of an image, and the image.
  func steps(
    _ request: GenerationRequest, observer: ((String, StepTiming) -> Void)? = nil
  ) throws -> (steps: [GenerationStep], result: Generation) {
    let (steps, results) = try steps([request], observer: observer)
    return (steps, try #require(results.first))
  }
}
