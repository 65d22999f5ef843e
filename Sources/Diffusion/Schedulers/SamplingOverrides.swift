import ModelFormats

/// What a request changes of the scheduler configuration of the model.
public struct SamplingOverrides: Sendable, Hashable {
  /// How noise levels are spaced.
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
  /// - Throws: ``GenerationError`` `request` where the scheduler does not heed one of them.
  func applying(
    _ overrides: SamplingOverrides, to name: SchedulerName, eta: Float?
  ) throws(GenerationError) -> SchedulerConfiguration {
    func others(_ isFit: (SchedulerName) -> Bool) -> String {
      "choose another scheduler: "
        + SchedulerName.allCases.filter(isFit).map(\.rawValue).joined(separator: ", ")
    }
    var result = self
    if let sigmas = overrides.sigmas {
      guard name.takesSigmas else {
        throw GenerationError(
          .request, "\(name.rawValue) works on timesteps; noise levels cannot be given to it",
          hint: Remedy(others(\.takesSigmas)))
      }
      guard overrides.spacing == nil else {
        throw GenerationError(
          .request, "a spacing of noise levels and one of timesteps exclude each other",
          hint: "give one of the two")
      }
      result.sigmas = sigmas
    }
    if let spacing = overrides.spacing {
      guard name.takesSpacing else {
        throw GenerationError(
          .request, "\(name.rawValue) has its own spacing of timesteps",
          hint: Remedy(others(\.takesSpacing)))
      }
      result.timestepSpacing = spacing
    }
    if let prediction = overrides.prediction { result.predictionType = prediction }
    if let starts = overrides.startsWithRungeKutta {
      guard name == .pndm else {
        throw GenerationError(
          .request, "\(name.rawValue) has no Runge-Kutta start", hint: "choose pndm")
      }
      result.skipsRungeKutta = !starts
    }
    if let eta, name.defaultEta == nil || !(0...1).contains(eta) {
      throw GenerationError(
        .request,
        name.defaultEta == nil
          ? "\(name.rawValue) has no eta" : "an eta of \(eta) cannot be taken; it goes from 0 to 1",
        hint: name.defaultEta == nil ? Remedy(others { $0.defaultEta != nil }) : nil)
    }
    return result
  }
}
