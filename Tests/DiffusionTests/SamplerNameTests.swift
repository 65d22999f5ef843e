import Diffusion
import Pictures
import Testing

/// Samplers, schedules and emphasis in infotexts.
@Suite struct SamplerNameTests {
  /// Six decimals, the spacing after the sampler: stable-diffusion.cpp's form.
  @Test func readsTheOnesOfStableDiffusionCpp() {
    let text = Infotext(
      parsing: """
        a cat
        Negative prompt: dogs
        Steps: 20, CFG scale: 7.000000, Guidance: 3.500000, Eta: inf, Seed: 42, Size: 512x768, \
        Model: sd15.gguf, RNG: cuda, Sampler: euler_a karras, Version: stable-diffusion.cpp
        """)
    #expect(text["Eta"] == "inf")
    #expect(text["CFG scale"] == "7.000000")
    #expect(SamplerLabel(text) == SamplerLabel(scheduler: "euler-a", sigmas: "karras"))
  }

  @Test(
    arguments: [
      ("Euler a", nil, "euler-a", nil), ("DPM++ 2M", "Karras", "dpmpp-2m", "karras"),
      ("DPM++ 2M Karras", nil, "dpmpp-2m", "karras"),
      ("PLMS", nil, "pndm", nil), ("DPM2", "Align Your Steps", "dpm2", "ays"),
      ("DPM++ 2S a", "SGM Uniform", "dpmpp-2s-a", "sgm_uniform"),
      ("DPM++ 3M SDE Simple", nil, "dpmpp-3m-sde", "simple"), ("DEIS", "Beta", "deis", "beta"),
      ("dpm++2s_a sgm_uniform", nil, "dpmpp-2s-a", "sgm_uniform"),
      ("dpm++2m discrete", nil, "dpmpp-2m", nil), ("UniPC", "Automatic", "unipc", nil),
      ("Restart", nil, nil, nil),
    ] as [(String, String?, String?, String?)])
  func samplers(sampler: String, spacing: String?, scheduler: String?, sigmas: String?) {
    var fields = [Infotext.Field("Sampler", sampler)]
    if let spacing { fields.append(Infotext.Field("Schedule type", spacing)) }
    let label = SamplerLabel(Infotext(prompt: "", fields: fields))
    #expect(label?.scheduler == scheduler)
    #expect(label?.sigmas == sigmas)
  }

  /// Every scheduler's name is read back as the same scheduler.
  @Test(arguments: SchedulerDescriptor.all, [nil] + SigmaSpacing.named.map(\.name))
  func namesComeBack(_ scheduler: SchedulerDescriptor, sigmas: String?) {
    let label = SamplerLabel(scheduler: scheduler.name, sigmas: sigmas)
    #expect(SamplerLabel(Infotext(prompt: "", fields: label.fields)) == label)
    #expect(label.fields[0].value != scheduler.name)
  }

  /// What the web UI's schedule type Automatic means by sampler (samplers_k_diffusion in its
  /// sd_samplers_kdiffusion.py), and samplers that are missing here.
  @Test(
    arguments: [
      ("DPM++ 2M", "Automatic", "dpmpp-2m", "karras", nil, nil),
      ("DPM++ SDE", "Automatic", "dpmpp-sde", "karras", nil, nil),
      ("DPM++ 2M SDE", "Automatic", "dpmpp-2m-sde", "exponential", nil, nil),
      ("DPM2 a", "Automatic", "dpm2-a", "karras", nil, nil),
      ("DPM++ 2S a", "Automatic", "dpmpp-2s-a", "karras", nil, nil),
      ("DPM++ 3M SDE", "Automatic", "dpmpp-3m-sde", "exponential", nil, nil),
      ("DEIS", "Automatic", "deis", nil, nil, nil),
      ("dpmpp_2s_ancestral", "karras", "dpmpp-2s-a", "karras", nil, nil),
      ("dpmpp_3m_sde", "beta", "dpmpp-3m-sde", "beta", nil, nil),
      ("dpmpp_3m_sde_gpu", "simple", "dpmpp-3m-sde", "simple", nil, "closest"),
      ("deis", "sgm_uniform", "deis", "sgm_uniform", nil, nil),
      ("dpm++2s_a sgm_uniform", nil, "dpmpp-2s-a", "sgm_uniform", nil, nil),
      ("euler simple", nil, "euler", "simple", nil, nil),
      ("lcm sgm_uniform", nil, "lcm", nil, "sgm_uniform", nil),
      ("LCM", "SGM Uniform", "lcm", nil, "SGM Uniform", nil),
      ("Euler a", "Automatic", "euler-a", nil, nil, nil),
      ("DPM++ 2M", nil, "dpmpp-2m", nil, nil, nil),
      ("Euler", "Polyexponential", "euler", nil, "Polyexponential", nil),
      ("lcm bong_tangent", nil, "lcm", nil, "bong_tangent", nil),
      ("dpm++2m karras", nil, "dpmpp-2m", "karras", nil, nil),
      ("ddim_trailing discrete", nil, "ddim", nil, nil, nil),
      ("k_euler_ancestral", nil, "euler-a", nil, nil, nil),
      ("DPM adaptive", "Automatic", "dpmpp-2m", "karras", nil, "closest"),
      ("Restart", "Automatic", "heun", nil, nil, "closest"),
      ("Magic", "Automatic", nil, nil, nil, "Magic is unknown"),
    ] as [(String, String?, String?, String?, String?, String?)])
  func recordedSamplers(
    sampler: String, schedule: String?, scheduler: String?, sigmas: String?, unknown: String?,
    difference: String?
  ) {
    var text = Infotext(prompt: "", fields: [.init("Sampler", sampler)])
    text["Schedule type"] = schedule
    let recorded = RecordedSampler(text)
    #expect(recorded?.scheduler?.name == scheduler)
    #expect(recorded?.sigmas == sigmas)
    #expect(recorded?.unknownSchedule == unknown)
    #expect(recorded?.spacing == (sampler.hasPrefix("ddim_trailing") ? .trailing : nil))
    #expect(recorded?.difference?.contains(difference ?? "-") ?? false == (difference != nil))
  }

  /// The names of emphasis.py of the web UI.
  @Test func emphasis() {
    let names = PromptStyle.Emphasis.allCases.map(\.webUIName)
    #expect(names == ["Original", "No norm", "Ignore", "None"])
    #expect(PromptStyle.Emphasis(webUIName: "No norm") == .noNorm)
    #expect(PromptStyle.Emphasis(webUIName: "no norm") == nil)
  }
}
