import Diffusion

extension GenerateCommand {
  /// What the options ask for, as one picture.
  func request(_ seed: UInt64, guidance: Double, noise: Latents?, initial: InitialPicture?)
    -> GenerationRequest
  {
    var request = GenerationRequest(prompt: options.prompt.text)
    request.negativePrompt = options.prompt.negative
    request.steps = options.sampling.steps
    request.guidanceScale = Float(guidance)
    request.seed = seed
    // A picture to start from has the size to draw.
    request.width = initial == nil ? options.pictures.width : nil
    request.height = initial == nil ? options.pictures.height : nil
    request.scheduler = options.sampling.scheduler
    request.noise = noise
    request.initial = initial
    request.enlargement = enlargement
    return request
  }
}
