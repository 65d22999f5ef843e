/// What a diffusers class assumes about the noise of training if `scheduler_config.json` does not
/// say it.
struct TrainingDefaults: Sendable {
  /// How a scheduler rescales to a final signal-to-noise ratio of 0 if the configuration asks for
  /// it.
  enum Rescaling: Sendable {
    case none
    case exact
    /// Leaves a little signal, for schedulers that divide by it.
    case bounded
  }

  /// The first beta.
  var betaStart = 0.0001
  /// The last beta.
  var betaEnd = 0.02
  var betaSchedule = SchedulerConfiguration.BetaSchedule.linear
  /// Whether the cumulative alpha after the last step is 1 instead of that of timestep 0.
  var setsAlphaToOne = false
  var rescaling = Rescaling.none
}
