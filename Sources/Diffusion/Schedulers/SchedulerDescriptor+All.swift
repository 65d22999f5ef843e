import ModelFormats

extension SchedulerDescriptor {
  /// Every scheduler, in the order of help texts and tables. Add a scheduler by adding its line.
  public static let all: [SchedulerDescriptor] = [
    .pndm,
    .ddim,
    .lms,
    .ddpm,
    .euler,
    .eulerAncestral,
    .heun,
    .dpm2,
    .dpm2Ancestral,
    .dpmppMultistep,
    .dpmppMultistepSDE,
    .dpmppThirdOrderSDE,
    .dpmppSinglestep,
    .dpmppSinglestepAncestral,
    .dpmppSDE,
    .deis,
    .unipc,
    .lcm,
    .tcd,
  ]

  /// The scheduler of models that name none, as in Stable Diffusion v1.5.
  public static let standard = pndm

  /// The scheduler with this name; nil if there is none. ``DrawingJob/scheduler``
  /// takes other programs' names too.
  public init?(name: String) {
    guard let match = Self.all.first(where: { $0.name == name }) else { return nil }
    self = match
  }

  /// The first scheduler that matches this diffusers class; nil if there is none.
  public init?(className: String) {
    guard let match = Self.all.first(where: { $0.className == className }) else { return nil }
    self = match
  }

  /// The values of `algorithm_type` that some scheduler supports.
  static var algorithmTypes: [String] { all.flatMap { $0.algorithmTypes ?? [] }.removingRepeats() }

  /// The scheduler of this descriptor's class for a value of `algorithm_type`; nil if the value is
  /// not supported for the class.
  func variant(algorithmType: String) -> SchedulerDescriptor? {
    guard algorithmTypes != nil else { return self }
    return Self.all.first {
      $0.className == className && $0.algorithmTypes?.contains(algorithmType) == true
    }
  }

  /// The most evaluations of the model for so many steps, whatever the model's own configuration.
  ///
  /// - Parameter startsWithRungeKutta: whether the scheduler starts with Runge-Kutta steps, if it can;
  ///   nil if that is the model's choice.
  package func evaluationLimit(steps: Int, startsWithRungeKutta: Bool? = nil) -> Int {
    var configuration = SchedulerConfiguration()
    // A distilled model may have more.
    configuration.originalSteps = max(configuration.originalSteps, steps)
    let starts = hasRungeKuttaStart ? startsWithRungeKutta.map { [$0] } ?? [true, false] : [false]
    return starts.map { starts in
      configuration.skipsRungeKutta = !starts
      // With too few steps nothing is evaluated.
      return (try? make(configuration, steps, eta?.defaultValue ?? 0))?.timesteps.count ?? 0
    }.max() ?? 0
  }

  /// The names of the schedulers that satisfy a condition, separated by commas.
  public static func names(where condition: (SchedulerDescriptor) -> Bool = { _ in true }) -> String
  {
    all.filter(condition).map(\.name).joined(separator: ", ")
  }
}

extension SchedulerConfiguration {
  /// A scheduler ready for its first step.
  ///
  /// - Parameters:
  ///   - steps: the number of inference steps, 1 up to the number of training timesteps.
  ///   - eta: 0 to 1, see ``SchedulerDescriptor/eta``; ignored by schedulers without one.
  /// - Throws: ``FormatError`` `unsupported`, naming the field that cannot be honored.
  package func scheduler(
    _ descriptor: SchedulerDescriptor, steps: Int, eta: Float? = nil
  ) throws(FormatError) -> any Scheduler {
    guard steps >= 1, steps <= trainingTimesteps else {
      throw FormatError(
        .unsupported, "steps must be 1 to \(trainingTimesteps) for this model (got \(steps))",
        context: Timesteps.context, hint: "use 1 to \(trainingTimesteps) steps")
    }
    guard descriptor.supportsSamplePrediction || predictionType != .sample else {
      throw FormatError(
        .unsupported,
        "\(descriptor.name) does not support models with prediction_type sample",
        context: "scheduler_config.json",
        hint:
          "choose another scheduler: \(SchedulerDescriptor.names(where: \.supportsSamplePrediction))"
      )
    }
    return try descriptor.make(self, steps, eta ?? descriptor.eta?.defaultValue ?? 0)
  }

  /// The model's own scheduler; ``SchedulerDescriptor/standard`` if the configuration names none.
  ///
  /// - Throws: ``FormatError`` `unsupported` if it names a scheduler that is missing here.
  public func defaultScheduler() throws(FormatError) -> SchedulerDescriptor {
    if let descriptor { return descriptor }
    guard let className else { return .standard }
    throw FormatError(
      .unsupported, "unknown scheduler \(className)", context: "scheduler_config.json",
      hint: "choose another: \(SchedulerDescriptor.names())")
  }
}

extension Array where Element: Hashable {
  /// The elements without those that occurred before.
  fileprivate func removingRepeats() -> [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
