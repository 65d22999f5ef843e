import Glibc
import ModelFormats

/// How much signal and how much noise the latents contain at each training timestep.
///
/// Source: Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020): with betas b,
/// the cumulative product of 1 - b. Rounds to float32 where torch does.
struct NoiseSchedule: Sendable {
  /// The fraction of the variance that is signal, at each timestep.
  let cumulativeAlphas: [Float]
  /// The variance of the noise that each timestep adds.
  let betas: [Float]
  /// The cumulative alpha after the last step, which has no timestep.
  let finalCumulativeAlpha: Float

  /// - Parameter defaults: the scheduler's values for what the configuration leaves out.
  init(
    _ configuration: SchedulerConfiguration, _ defaults: TrainingDefaults = TrainingDefaults()
  ) throws(FormatError) {
    var betas: [Float]
    let count = configuration.trainingTimesteps
    let start = configuration.betaStart ?? defaults.betaStart
    let end = configuration.betaEnd ?? defaults.betaEnd
    if let trained = configuration.trainedBetas {
      guard trained.count == count else {
        throw FormatError(
          .malformed, "trained_betas has \(trained.count) values, expected \(count)",
          context: "scheduler_config.json")
      }
      betas = trained
    } else {
      switch configuration.betaSchedule ?? defaults.betaSchedule {
      case .linear: betas = Self.linspace(Float(start), Float(end), count: count)
      case .scaledLinear:
        betas = Self.linspace(Float(start.squareRoot()), Float(end.squareRoot()), count: count)
          .map { $0 * $0 }
      case .squaredCosine: betas = Self.squaredCosineBetas(count: count)
      }
    }
    let rescales = configuration.rescalesBetasToZeroSNR && defaults.rescaling != .none
    if rescales { betas = Self.rescaledToZeroSNR(betas) }
    var alphas = Self.cumulativeProduct(betas.map { 1 - $0 })
    if rescales && defaults.rescaling == .bounded { alphas[alphas.count - 1] = 0x1p-24 }
    // Schedulers divide by alphas and take logarithms; only exact rescaling may end at 0.
    let ends = rescales && defaults.rescaling == .exact ? alphas.count - 1 : alphas.count
    guard alphas[..<ends].allSatisfy({ $0 > 0 && $0 <= 1 }) else {
      let field = configuration.trainedBetas == nil ? "beta_start and beta_end" : "trained_betas"
      throw FormatError(
        .unsupported, "\(field) give cumulative alphas outside (0, 1]",
        context: "scheduler_config.json",
        hint: "betas must be at least 0 and below 1; SD v1.5 uses 0.00085 to 0.012")
    }
    self.betas = betas
    cumulativeAlphas = alphas
    finalCumulativeAlpha =
      configuration.setsAlphaToOne ?? defaults.setsAlphaToOne ? 1 : cumulativeAlphas[0]
  }

  /// The cumulative alpha of a timestep; below 0 the final one.
  func cumulativeAlpha(at timestep: Int) -> Float {
    timestep < 0 ? finalCumulativeAlpha : cumulativeAlphas[timestep]
  }

  /// Clean latents with the noise level of a timestep.
  func noised(_ clean: [Float], with noise: [Float], at timestep: Float) -> [Float] {
    let alpha = cumulativeAlphas[Int(timestep)]
    let (signal, spread) = (alpha.squareRoot(), (1 - alpha).squareRoot())
    return elementwise(clean, noise) { signal * $0 + spread * $1 }
  }

  /// Noise over signal at each timestep.
  var sigmas: [Float] { cumulativeAlphas.map { ((1 - $0) / $0).squareRoot() } }

  /// Evenly spaced values; like torch, computes the second half from the end.
  private static func linspace(_ start: Float, _ end: Float, count: Int) -> [Float] {
    guard count > 1 else { return [start] }
    let step = (end - start) / Float(count - 1)
    return (0..<count).map { index in
      index < count / 2
        ? start.addingProduct(step, Float(index))
        : end.addingProduct(-step, Float(count - 1 - index))
    }
  }

  /// Accumulated in float64 and rounded each time, as in torch.
  private static func cumulativeProduct(_ values: [Float]) -> [Float] {
    var product = 1.0
    return values.map {
      product *= Double($0)
      return Float(product)
    }
  }

  private static func squaredCosineBetas(count: Int) -> [Float] {
    func alpha(_ time: Double) -> Double {
      let root = cos((time + 0.008) / 1.008 * Double.pi / 2)
      return root * root
    }
    return (0..<count).map { index in
      let ratio = alpha(Double(index + 1) / Double(count)) / alpha(Double(index) / Double(count))
      return Float(min(1 - ratio, 0.999))
    }
  }

  /// Shifts and scales the signal's amplitude to 0 at the last timestep: Lin et
  /// al. (2023), algorithm 1.
  private static func rescaledToZeroSNR(_ betas: [Float]) -> [Float] {
    let amplitudes = cumulativeProduct(betas.map { 1 - $0 }).map { $0.squareRoot() }
    let first = amplitudes[0]
    let last = amplitudes[amplitudes.count - 1]
    let scale = first / (first - last)
    let squares = amplitudes.map { amplitude in
      let shifted = (amplitude - last) * scale
      return shifted * shifted
    }
    return squares.indices.map { index in
      1 - (index == 0 ? squares[0] : squares[index] / squares[index - 1])
    }
  }
}
