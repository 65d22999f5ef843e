import Diffusion

extension GenerateCommand {
  /// What the options ask for, as one picture.
  func request(_ seed: UInt64, guidance: Double, noise: Latents?) -> GenerationRequest {
    var request = GenerationRequest(prompt: options.prompt.text)
    request.negativePrompt = options.prompt.negative
    request.steps = options.sampling.steps
    request.guidanceScale = Float(guidance)
    request.seed = seed
    request.width = options.pictures.width
    request.height = options.pictures.height
    request.scheduler = options.sampling.scheduler
    request.noise = noise
    return request
  }
}
