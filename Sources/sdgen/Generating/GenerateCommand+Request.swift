import Diffusion

extension GenerateCommand {
  /// What the options ask for, as one picture.
  ///
  /// - Throws: ``FormatError`` where a ControlNet's picture cannot be read.
  func request(
    _ prompt: String, _ seed: UInt64, guidance: Double, noise: Latents?, initial: InitialPicture?
  ) throws -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    // Prompts and sampling.
    options.prompt.apply(to: &request)
    options.sampling.apply(to: &request)
    request.guidanceScale = Float(guidance)
    request.seed = seed
    // Pictures; one to start from has the size to draw.
    request.width = initial == nil ? options.pictures.width : nil
    request.height = initial == nil ? options.pictures.height : nil
    request.noise = noise
    request.initial = initial
    request.enlargement = enlargement
    request.networks.controls = try options.networks.controls()
    request.networks.cacheInterval = options.approximations.cacheInterval
    if let interval = options.approximations.guidanceInterval {
      request.networks.guidanceInterval = interval.shares
    }
    return request
  }
}
