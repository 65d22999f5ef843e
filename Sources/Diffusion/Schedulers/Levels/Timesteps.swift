import ModelFormats

/// The timesteps of `steps` inference steps, in falling order.
enum Timesteps {
  /// The context of errors about the number of steps: the request caused them, not the model's
  /// files.
  static let context = "scheduler"

  /// Whole timesteps, each below the number of training timesteps.
  ///
  /// - Throws: ``FormatError`` `unsupported` if `steps_offset` moves one past the last.
  static func whole(
    _ configuration: SchedulerConfiguration, steps: Int,
    spacing: SchedulerConfiguration.TimestepSpacing
  ) throws(FormatError) -> [Int] {
    let timesteps = spread(configuration, steps: steps, spacing: spacing)
      .map { Int($0.rounded(.toNearestOrEven)) }
    try check(timesteps, configuration, steps: steps)
    return timesteps
  }

  /// Whole timesteps of a multistep solver: all but the last of one step more.
  static func solver(
    _ configuration: SchedulerConfiguration, steps: Int,
    spacing: SchedulerConfiguration.TimestepSpacing
  ) throws(FormatError) -> [Int] {
    guard steps < configuration.trainingTimesteps else {
      throw FormatError(
        .unsupported, "too many steps for a multistep solver (got \(steps))",
        context: Timesteps.context,
        hint: "use fewer than \(configuration.trainingTimesteps) steps")
    }
    guard spacing != .trailing else {
      return try whole(configuration, steps: steps, spacing: spacing)
    }
    return try whole(configuration, steps: steps + 1, spacing: spacing).dropLast()
  }

  /// The timesteps of a distilled model, chosen evenly from those of the distillation.
  ///
  /// - Throws: ``FormatError`` `unsupported` for more steps than those.
  static func distilled(
    _ configuration: SchedulerConfiguration, steps: Int, scheduler: String
  ) throws(FormatError) -> [Float] {
    let original = configuration.originalSteps
    guard original <= configuration.trainingTimesteps else {
      throw FormatError(
        .unsupported,
        "original_inference_steps exceeds the number of training timesteps (got \(original))",
        context: "scheduler_config.json")
    }
    guard steps <= original else {
      throw FormatError(
        .unsupported, "too many steps for \(scheduler): \(steps)", context: Timesteps.context,
        hint: "use up to \(original) steps; 4 to 8 are usual")
    }
    let stride = configuration.trainingTimesteps / original
    return (0..<steps).map { step in
      let index = Int(Double(step) * (Double(original) / Double(steps)))
      return Float((original - index) * stride - 1)
    }
  }

  /// Rejects timesteps that the model was not trained on.
  static func check(
    _ timesteps: [Int], _ configuration: SchedulerConfiguration, steps: Int
  ) throws(FormatError) {
    let range = 0..<configuration.trainingTimesteps
    if let outside = timesteps.first(where: { !range.contains($0) }) {
      throw FormatError(
        .unsupported,
        "\(steps) steps with a steps_offset of \(configuration.stepsOffset) reach "
          + "timestep \(outside); the model has 0 to \(range.upperBound - 1)",
        context: Timesteps.context, hint: "use fewer steps")
    }
  }

  /// Timesteps that may be fractional, rounded to float32; those past the last have its noise
  /// level.
  ///
  /// - Throws: ``FormatError`` `unsupported` if rounding adds a step before the first timestep: 61 trailing steps of 1000.
  static func fractional(
    _ configuration: SchedulerConfiguration, steps: Int,
    spacing: SchedulerConfiguration.TimestepSpacing
  ) throws(FormatError) -> [Float] {
    let timesteps = spread(configuration, steps: steps, spacing: spacing).map { Float($0) }
    guard timesteps.allSatisfy({ $0 >= 0 }) else {
      throw FormatError(
        .unsupported, "\(steps) steps with trailing timestep_spacing reach before timestep 0",
        context: Timesteps.context, hint: "use one step more or fewer")
    }
    return timesteps
  }

  /// numpy's linspace and arange in float64; only linspace gives fractions.
  private static func spread(
    _ configuration: SchedulerConfiguration, steps: Int,
    spacing: SchedulerConfiguration.TimestepSpacing
  ) -> [Double] {
    let count = configuration.trainingTimesteps
    switch spacing {
    case .linspace:
      let step = steps > 1 ? Double(count - 1) / Double(steps - 1) : 0
      return (0..<steps).reversed().map { index in
        index > 0 && index == steps - 1 ? Double(count - 1) : Double(index) * step
      }
    case .leading:
      let ratio = count / steps
      return (0..<steps).reversed().map { Double($0 * ratio + configuration.stepsOffset) }
    case .trailing:
      let start = Double(count)
      let ratio = start / Double(steps)
      let increment = (start - ratio) - start
      return (0..<Int((start / ratio).rounded(.up))).map { index in
        (start + Double(index) * increment).rounded(.toNearestOrEven) - 1
      }
    }
  }
}
