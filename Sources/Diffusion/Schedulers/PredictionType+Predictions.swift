extension SchedulerConfiguration.PredictionType {
  /// The clean latents and the noise that a model output implies, in variance-preserving form:
  /// sample = √ā · clean + √(1 - ā) · noise.
  func predictions(
    modelOutput: [Float], sample: [Float], cumulativeAlpha: Float
  ) -> (original: [Float], noise: [Float]) {
    let signal = cumulativeAlpha.squareRoot()
    let spread = (1 - cumulativeAlpha).squareRoot()
    switch self {
    case .epsilon:
      return (elementwise(sample, modelOutput) { ($0 - spread * $1) / signal }, modelOutput)
    case .sample:
      return (modelOutput, elementwise(sample, modelOutput) { ($0 - signal * $1) / spread })
    case .velocity:
      return (
        elementwise(sample, modelOutput) { signal * $0 - spread * $1 },
        elementwise(sample, modelOutput) { signal * $1 + spread * $0 }
      )
    }
  }

  /// The clean latents that a model output implies, in variance-exploding form:
  /// sample = clean + sigma · noise.
  func original(modelOutput: [Float], sample: [Float], sigma: Float) -> [Float] {
    switch self {
    case .epsilon: return elementwise(sample, modelOutput) { $0 - sigma * $1 }
    case .sample: return modelOutput
    case .velocity:
      let outputFactor = -sigma / (sigma * sigma + 1).squareRoot()
      let divisor = sigma * sigma + 1
      return elementwise(sample, modelOutput) { $1 * outputFactor + $0 / divisor }
    }
  }
}
