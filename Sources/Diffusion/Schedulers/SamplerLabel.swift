import Pictures

/// What web UIs call a scheduler and the spacing of its noise levels.
public struct SamplerLabel: Sendable, Hashable {
  /// As the command line names it: `dpmpp-2m`.
  public let scheduler: String
  /// As the command line names the spacing: `karras`; nil for the scheduler's own.
  public let sigmas: String?

  public init(scheduler: String, sigmas: String? = nil) {
    self.scheduler = scheduler
    self.sigmas = sigmas
  }

  /// Ours, the AUTOMATIC1111 web UI's, stable-diffusion.cpp's.
  private static let samplers: [(name: String, webUI: String, cpp: String?)] = [
    ("pndm", "PLMS", nil), ("ddim", "DDIM", "ddim_trailing"), ("lms", "LMS", "lms"),
    ("ddpm", "DDPM", nil), ("euler", "Euler", "euler"), ("euler-a", "Euler a", "euler_a"),
    ("heun", "Heun", "heun"), ("dpm2", "DPM2", "dpm2"), ("dpm2-a", "DPM2 a", nil),
    ("dpmpp-2m", "DPM++ 2M", "dpm++2m"), ("dpmpp-2m-sde", "DPM++ 2M SDE", "dpm++2m_sde"),
    ("dpmpp-2s", "DPM++ 2S", nil), ("dpmpp-sde", "DPM++ SDE", nil), ("unipc", "UniPC", nil),
    ("lcm", "LCM", "lcm"), ("tcd", "TCD", "tcd"),
  ]

  private static let spacings: [(name: String, webUI: String, cpp: String)] = [
    ("karras", "Karras", "karras"), ("exponential", "Exponential", "exponential"),
    ("ays", "Align Your Steps", "ays"),
  ]

  /// The fields `Sampler` and, where the spacing is not the scheduler's own, `Schedule type`.
  public var fields: [Infotext.Field] {
    let sampler = Self.samplers.first { $0.name == scheduler }?.webUI ?? scheduler
    let spacing = sigmas.map { sigmas in
      Self.spacings.first { $0.name == sigmas }?.webUI ?? sigmas
    }
    return [Infotext.Field("Sampler", sampler)]
      + (spacing.map { [Infotext.Field("Schedule type", $0)] } ?? [])
  }

  /// What a text says; nil where its sampler is none of ours.
  ///
  /// Old web UIs write the spacing behind the sampler, `DPM++ 2M Karras`; stable-diffusion.cpp
  /// always does, `dpm++2m karras`.
  public init?(_ text: Infotext) {
    guard var sampler = text["Sampler"] else { return nil }
    var spacing = text["Schedule type"]
    let known = Self.spacings.flatMap { [$0.webUI, $0.cpp] } + ["discrete", "Automatic"]
    if let suffix = known.first(where: { sampler.hasSuffix(" " + $0) }) {
      sampler.removeLast(suffix.count + 1)
      spacing = suffix
    }
    let match =
      Self.samplers.first { $0.webUI == sampler }
      ?? Self.samplers.first { $0.cpp == sampler } ?? Self.samplers.first { $0.name == sampler }
    guard let match else { return nil }
    scheduler = match.name
    sigmas = spacing.flatMap { spacing in
      Self.spacings.first { [$0.name, $0.webUI, $0.cpp].contains(spacing) }?.name
    }
  }
}
