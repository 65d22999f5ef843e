import ModelFormats

extension SchedulerDescriptor {
  /// DPM-Solver++, single-step, which adds noise at each step; two evaluations for each.
  public static let dpmppSinglestepAncestral = SchedulerDescriptor(
    name: "dpmpp-2s-a", webUIName: "DPM++ 2S a", cppName: "dpm++2s_a", webUISigmas: "karras",
    aliases: ["dpmpp_2s_ancestral"],
    neighbors: [Neighbor(name: "dpmpp_2s_ancestral_cfg_pp")],
    summary: "DPM-Solver++, single step, with noise added back after each step",
    source: "Lu et al., DPM-Solver++ (2022), algorithm 1, with the ancestral steps of Song et al.,"
      + " Score-Based Generative Modeling (2021)",
    order: 2, noise: .always, takesSigmas: true,
    training: DPMSolverAncestralScheduler.training
  ) { configuration, steps, _ throws(FormatError) in
    try DPMSolverAncestralScheduler(configuration, steps: steps)
  }
}

/// DPM-Solver++, single step, order 2, with ancestral steps: a step of the solver goes past the next
/// sigma, and added noise raises the latents to it again. The last step is an Euler step.
///
/// Source: Lu et al., "DPM-Solver++" (2022), algorithm 1 with the midpoint at r = 1/2; ancestral
/// steps as in Song et al., "Score-Based Generative Modeling" (2021), appendix F. Matches
/// `sample_dpmpp_2s_ancestral` of k-diffusion with its default eta of 1; diffusers has no such
/// class.
///
/// From sigma s to t, the solver goes to t² / s, and noise of variance t² - (t² / s)² is added. The
/// logarithmic midpoint of s and t² / s, where the model is evaluated again, is t.
struct DPMSolverAncestralScheduler: Scheduler {
  static let training = TrainingDefaults(rescaling: .bounded)

  let timesteps: [Float]
  var initialNoiseSigma: Float { schedule.initialNoiseSigma }
  let evaluationsPerStep = 2

  private let schedule: SigmaSchedule
  private let predictionType: SchedulerConfiguration.PredictionType
  private var savedSample: [Float] = []

  init(_ configuration: SchedulerConfiguration, steps: Int) throws(FormatError) {
    schedule = try SigmaSchedule(
      configuration, noise: try NoiseSchedule(configuration, Self.training), steps: steps)
    predictionType = configuration.predictionType
    // Every sigma but the first is evaluated twice: inside a step and at the start of the next.
    timesteps = schedule.timesteps.prefix(1) + schedule.timesteps.dropFirst().flatMap { [$0, $0] }
  }

  func modelInput(for sample: [Float], at evaluation: Int) -> [Float] {
    schedule.modelInput(for: sample, at: (evaluation + 1) / 2)
  }

  func noised(_ clean: [Float], with noise: [Float], at evaluation: Int) -> [Float] {
    schedule.noised(clean, with: noise, at: (evaluation + 1) / 2)
  }

  mutating func step(
    modelOutput: [Float], at evaluation: Int, sample: [Float], random: inout any RandomSource
  ) -> [Float] {
    let isFirst = evaluation % 2 == 0
    let original = predictionType.original(
      modelOutput: modelOutput, sample: sample, sigma: schedule.sigmas[(evaluation + 1) / 2])
    let next = Double(schedule.sigmas[evaluation / 2 + 1])
    guard next > 0 else { return original }
    let ratio = next / Double(schedule.sigmas[evaluation / 2])
    if isFirst { savedSample = sample }
    let share = isFirst ? ratio : ratio * ratio
    let (keep, add) = (Float(share), Float(1 - share))
    let result = elementwise(savedSample, original) { keep * $0 + add * $1 }
    guard !isFirst else { return result }
    let up = Float(next * (1 - ratio * ratio).squareRoot())
    return elementwise(result, random.normal(count: sample.count)) { $0 + $1 * up }
  }
}
