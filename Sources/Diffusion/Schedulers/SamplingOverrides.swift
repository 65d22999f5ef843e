import ModelFormats

/// Changes that a request makes to the model's scheduler configuration.
public struct SamplingOverrides: Sendable, Hashable {
  /// How sigmas are spaced.
  public var sigmas: SigmaSpacing?
  /// How timesteps are spaced.
  public var spacing: SchedulerConfiguration.TimestepSpacing?
  /// What the model predicts.
  public var prediction: SchedulerConfiguration.PredictionType?
  /// Whether PNDM starts with Runge-Kutta steps.
  public var startsWithRungeKutta: Bool?

  public init() {}
}

extension SchedulerConfiguration {
  /// The configuration with a request's changes.
  ///
  /// - Throws: ``GenerationError`` `request` if the scheduler ignores one of them.
  func applying(
    _ overrides: SamplingOverrides, to scheduler: SchedulerDescriptor, eta: Float?
  ) throws(GenerationError) -> SchedulerConfiguration {
    func require(
      _ condition: (SchedulerDescriptor) -> Bool, _ problem: String
    ) throws(GenerationError) {
      guard !condition(scheduler) else { return }
      throw GenerationError(
        .request, "\(scheduler.name) \(problem)",
        hint: Remedy("choose another scheduler: " + SchedulerDescriptor.names(where: condition)))
    }
    var result = self
    if let sigmas = overrides.sigmas {
      try require({ $0.takesSigmas }, "works on timesteps; it does not accept sigmas")
      guard overrides.spacing == nil else {
        throw GenerationError(
          .request, "a spacing of sigmas and a spacing of timesteps cannot be combined",
          hint: "give only one of them")
      }
      result.sigmas = sigmas
    }
    if let spacing = overrides.spacing {
      try require({ $0.takesSpacing }, "has its own spacing of timesteps")
      result.timestepSpacing = spacing
    }
    if let prediction = overrides.prediction { result.predictionType = prediction }
    if let starts = overrides.startsWithRungeKutta {
      try require({ $0.hasRungeKuttaStart }, "has no Runge-Kutta start")
      result.skipsRungeKutta = !starts
    }
    if let eta {
      try require({ $0.eta != nil }, "has no eta")
      guard (0...1).contains(eta) else {
        throw GenerationError(.request, "eta must be 0 to 1 (got \(eta))")
      }
    }
    return result
  }
}
