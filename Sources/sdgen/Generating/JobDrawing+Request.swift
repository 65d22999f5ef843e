import Diffusion
import ModelFormats
import Pictures

extension JobDrawing {
  /// The job's request for one image.
  ///
  /// - Throws: ``FormatError`` if a control image cannot be read.
  func request(
    _ prompt: String, _ seed: UInt64, guidance: Double, noise: Latents?, initial: InitialPicture?
  ) throws -> GenerationRequest {
    var request = job.request(prompt)
    request.guidanceScale = Float(guidance)
    request.seed = seed
    // An init image has the output size.
    if initial != nil { (request.width, request.height) = (nil, nil) }
    request.noise = noise
    request.initial = initial
    request.networks.controls = try controls()
    return request
  }

  /// The control images of the ControlNets, read again.
  ///
  /// - Parameter warn: receives warnings about damaged but readable files.
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
