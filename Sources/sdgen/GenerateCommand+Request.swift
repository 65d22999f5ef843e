import Diffusion

extension GenerateCommand {
  /// What the options ask for, as one picture.
  func request(
    _ prompt: String, _ seed: UInt64, guidance: Double, noise: Latents?
  ) -> GenerationRequest {
    var request = GenerationRequest(prompt: prompt)
    // Prompts and sampling.
    options.prompt.apply(to: &request)
    options.sampling.apply(to: &request)
    request.guidanceScale = Float(guidance)
    request.seed = seed
    request.width = options.pictures.width
    request.height = options.pictures.height
    request.noise = noise
    return request
  }
}
