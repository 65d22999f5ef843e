import Diffusion
import Pictures
import Testing

/// What other programs call the schedulers.
@Suite struct SamplerNameTests {
  @Test(
    arguments: [
      ("DPM++ 2M Karras", "dpmpp-2m", "karras"), ("DPM++ 2M", "dpmpp-2m", nil),
      ("DPM++ SDE", "dpmpp-sde", nil), ("DPM++ SDE Karras", "dpmpp-sde", "karras"),
      ("DPM++ 2M SDE Exponential", "dpmpp-2m-sde", "exponential"), ("Euler a", "euler-a", nil),
      ("Euler", "euler", nil), ("Heun", "heun", nil), ("LMS", "lms", nil),
      ("LMS Karras", "lms", "karras"), ("DPM2 a Karras", "dpm2-a", "karras"),
      ("UniPC", "unipc", nil),
      ("PLMS", "pndm", nil), ("DDIM", "ddim", nil), ("LCM", "lcm", nil), ("TCD", "tcd", nil),
      ("k_lms", "lms", nil), ("k_euler_a", "euler-a", nil), ("k_euler_ancestral", "euler-a", nil),
      ("k_dpm_2", "dpm2", nil), ("k_dpm_2_ancestral", "dpm2-a", nil),
      ("euler_ancestral", "euler-a", nil), ("dpmpp_2m", "dpmpp-2m", nil),
      ("dpmpp_2m_sde", "dpmpp-2m-sde", nil), ("uni_pc", "unipc", nil), ("uni_pc_bh2", "unipc", nil),
      ("euler_a", "euler-a", nil), ("dpm++2m", "dpmpp-2m", nil),
      ("dpm++2m karras", "dpmpp-2m", "karras"),
      ("euler discrete", "euler", nil), ("Euler Automatic", "euler", nil),
      ("Euler Align Your Steps", "euler", "ays"), ("PNDMScheduler", "pndm", nil),
      ("DPMSolverMultistepScheduler", "dpmpp-2m", nil), ("dpmpp-2s", "dpmpp-2s", nil),
    ] as [(String, String, String?)])
  func known(name: String, scheduler: String, sigmas: String?) {
    let label = SamplerLabel(name: name)
    #expect(label == SamplerLabel(scheduler: scheduler, sigmas: sigmas))
    #expect(SamplerLabel.substitutes(for: name).isEmpty)
  }

  @Test(arguments: SchedulerDescriptor.all)
  func ours(scheduler: SchedulerDescriptor) {
    #expect(SamplerLabel(name: scheduler.name) == SamplerLabel(scheduler: scheduler.name))
    // As it is written into images.
    for field in SamplerLabel(scheduler: scheduler.name).fields {
      #expect(SamplerLabel(name: field.value)?.scheduler == scheduler.name)
    }
  }

  /// Different samplers are not mapped.
  @Test(arguments: [
    "DPM++ 2S a", "DPM++ 3M SDE", "DPM fast", "DPM adaptive", "Restart", "DDIM CFG++", "heunpp2",
    "ipndm_v", "dpm++2mv2", "DPM++ 2M SDE Heun", "ddim_trailing", "dpmpp_sde_gpu", "karras",
    "DPM++ 2S a Karras",
  ])
  func others(name: String) {
    #expect(SamplerLabel(name: name) == nil)
    #expect(!SamplerLabel.substitutes(for: name).isEmpty)
  }

  @Test(arguments: ["", "magic", "karras karras", "+", "DPMSolverSinglestep"])
  func unknown(name: String) {
    #expect(SamplerLabel(name: name) == nil)
    #expect(SamplerLabel.substitutes(for: name).isEmpty)
  }
}
