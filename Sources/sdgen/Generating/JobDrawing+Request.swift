import Diffusion
import ModelFormats
import Pictures

extension JobDrawing {
  /// What the job asks for, as one picture.
  ///
  /// - Throws: ``FormatError`` where a ControlNet's picture cannot be read.
  func request(
    _ prompt: String, _ seed: UInt64, guidance: Double, noise: Latents?, initial: InitialPicture?
  ) throws -> GenerationRequest {
    var request = job.request(prompt)
    request.guidanceScale = Float(guidance)
    request.seed = seed
    // A picture to start from has the size to draw.
    if initial != nil { (request.width, request.height) = (nil, nil) }
    request.noise = noise
    request.initial = initial
    request.networks.controls = try controls()
    return request
  }

  /// The pictures for the ControlNets, read anew.
  ///
  /// - Parameter warn: told what is wrong with a file that is read all the same.
  func controls(
    _ warn: (String) -> Void = { _ in }
  ) throws(FormatError) -> [NetworkSettings.Control] {
    var controls: [NetworkSettings.Control] = []
    for (index, path) in (job.controlImage ?? []).enumerated() {
      let (scale, start, end) = job.controlSettings(index)
      controls.append(
        NetworkSettings.Control(
          try PictureFile.opened(path, warn).image, scale: Float(scale), start: start, end: end))
    }
    return controls
  }
}
