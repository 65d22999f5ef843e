import Diffusion
import Pictures
import Testing

/// Texts as web UIs write them, and what their parser reads (expression and order of fields of
/// AUTOMATIC1111's infotext_utils.py and processing.py).
@Suite struct InfotextTests {
  static let webUI = """
    a lighthouse, (dusk:1.2)
    second line
    Negative prompt: people,
    boats
    Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x512, \
    Model hash: 6ce0161689, Model: v1-5-pruned-emaonly, Clip skip: 2, RNG: CPU, \
    Lora hashes: "style: aabbccddeeff, other: 001122334455", Version: v1.9.4
    """

  @Test func readsTheWebUIs() {
    let text = Infotext(parsing: Self.webUI)
    #expect(text.prompt == "a lighthouse, (dusk:1.2)\nsecond line")
    #expect(text.negativePrompt == "people,\nboats")
    #expect(
      text.fields.map(\.name) == [
        "Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model",
        "Clip skip", "RNG", "Lora hashes", "Version",
      ])
    #expect(text["Lora hashes"] == "style: aabbccddeeff, other: 001122334455")
    #expect(text["Sampler"] == "DPM++ 2M")
    // It is written back as the same text.
    #expect(text.text == Self.webUI)
    #expect(SamplerLabel(text) == SamplerLabel(scheduler: "dpmpp-2m", sigmas: "karras"))
  }

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
      ("Euler a", nil, "euler-a", nil), ("DPM++ 2M Karras", nil, "dpmpp-2m", "karras"),
      ("PLMS", nil, "pndm", nil), ("DPM2", "Align Your Steps", "dpm2", "ays"),
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
  @Test(arguments: SchedulerDescriptor.all, [nil, "karras", "exponential", "ays"])
  func namesComeBack(_ scheduler: SchedulerDescriptor, sigmas: String?) {
    let label = SamplerLabel(scheduler: scheduler.name, sigmas: sigmas)
    #expect(SamplerLabel(Infotext(prompt: "", fields: label.fields)) == label)
    #expect(label.fields[0].value != scheduler.name)
  }

  @Test(
    arguments: [
      ("no fields at all", "no fields at all", 0),
      ("two: 1, fields: 2", "two: 1, fields: 2", 0),
      ("Steps: 1, Seed: 2, Size: 8x8", "", 3),
      ("p\nA b: 1, C/d: , E-f: \"x\\\"y, z\",", "p", 3),
      // An open quote ends at the comma; invalid names are skipped.
      ("p\nAa: \"x, Bb: 2, ?? Cc: 3, x: 4", "p", 3),
      ("p\nNegative prompt: n\n\nm\nAa: 1, Bb: 2, Cc: 3", "p", 3), ("", "", 0),
    ])
  func oddTexts(text: String, prompt: String, fields: Int) {
    let parsed = Infotext(parsing: text)
    #expect(parsed.prompt == prompt)
    #expect(parsed.fields.count == fields, "\(parsed.fields)")
  }

  @Test func valuesAreQuotedWhereTheyMust() {
    let text = Infotext(
      prompt: "p",
      fields: [.init("Aa", "x, y"), .init("Bb", "a \"b\": c"), .init("Cc", "plain \"q\"")])
    #expect(text.text == "p\nAa: \"x, y\", Bb: \"a \\\"b\\\": c\", Cc: plain \"q\"")
    #expect(Infotext(parsing: text.text) == text)
  }

  /// Long malicious lines are read in one pass.
  @Test func longLines() {
    let text = Infotext(parsing: "p\n" + String(repeating: "aa aa-", count: 200_000))
    #expect(text.fields.isEmpty)
    let quotes = Infotext(parsing: "p\n" + String(repeating: "Aa: \"\\\"", count: 50_000))
    #expect(quotes.fields.count <= 1)
  }
}
