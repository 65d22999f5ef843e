import Glibc

/// A sigma in the terms of exponential integrators.
struct SolverLevel {
  /// The factors of clean latents and noise in variance-preserving form.
  let alpha: Float
  let sigma: Float
  /// Half the logarithm of the signal-to-noise ratio; infinite if there is no noise.
  let lambda: Float

  /// - Parameter noiseOverSignal: sigma in variance-exploding form.
  init(_ noiseOverSignal: Float) {
    alpha = 1 / (noiseOverSignal * noiseOverSignal + 1).squareRoot()
    sigma = noiseOverSignal * alpha
    lambda = logf(alpha) - logf(sigma)
  }

  /// The clean latents that a model output at this level implies.
  func original(
    _ modelOutput: [Float], sample: [Float], _ type: SchedulerConfiguration.PredictionType
  ) -> [Float] {
    switch type {
    case .epsilon: elementwise(sample, modelOutput) { ($0 - sigma * $1) / alpha }
    case .sample: modelOutput
    case .velocity: elementwise(sample, modelOutput) { alpha * $0 - sigma * $1 }
    }
  }
}
