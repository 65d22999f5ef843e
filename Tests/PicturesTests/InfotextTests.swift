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

  /// What `get_image_params` of stable-diffusion.cpp writes since it has hires fix: values in
  /// brackets without quotes, and a JSON object at the end. What is in them is never a field.
  @Test func readsTheJSONOfStableDiffusionCpp() {
    let line = """
      Steps: 99, CFG scale: 1.000000, Skip layers: [7, 8, ], Guidance: 3.500000, Eta: inf, \
      ADetailer prompt: a face, Steps: 50, Seed: 42, Size: 128x64, Model: m.safetensors, RNG: cuda, \
      Sampler: euler, Custom Sigmas: [14.6100, 7.8000, 0.0000], Hires upscale: Latent, \
      Hires scale: 2.000000, Hires resize: 0x0, Hires steps: 10, Denoising strength: 0.700000, \
      Version: stable-diffusion.cpp
      """
    let old = Infotext(parsing: "a cat\nNegative prompt: dogs\n" + line).withWebUIFields
    #expect(old["Custom Sigmas"] == "14.6100,7.8000,0.0000")
    #expect(old["Hires upscale"] == "2.000000" && old["Hires upscaler"] == "Latent")
    #expect(old["Hires scale"] == nil && old["Hires resize"] == nil && old["Eta"] == nil)
    let json = #"""
      , SDCPP: {"schema":"sdcpp.image.params/v1","seed":7,"width":256,"height":192,\#
      "prompt":{"positive":"a cat\nNegative prompt: \"x\", Seed: 9, ]} Steps: 3","negative":""},\#
      "sampling":{"steps":20,"eta":0.5,"guidance":{"txt_cfg":4.400000095367432},"method":"lcm",\#
      "scheduler":"sgm_uniform","custom_sigmas":[]},"models":{"model":"sd15.gguf"},"clip_skip":-1,\#
      "rng":"cpu","loras":[{"name":"a","multiplier":0.5}],"hires":{"enabled":true,"scale":1.5,\#
      "upscaler":"Lanczos","target_width":0,"target_height":0,"steps":0,"denoising_strength":0.5}}
      """#
    let raw = Infotext(parsing: "a cat\nNegative prompt: dogs\n" + line + json)
    #expect(raw["Seed"] == "42" && raw.fields.last?.name == "SDCPP")
    let text = raw.withWebUIFields
    #expect(text.prompt == "a cat\nNegative prompt: \"x\", Seed: 9, ]} Steps: 3")
    #expect(text.negativePrompt.isEmpty)
    let fields = [
      "Seed": "7", "Steps": "20", "Size": "256x192", "CFG scale": "4.4", "Eta": "0.5",
      "Sampler": "lcm sgm_uniform", "Model": "sd15.gguf", "RNG": "cpu", "Loras": "a: 0.5",
      "Hires upscale": "1.5", "Hires upscaler": "Lanczos", "Hires steps": "0",
      "Denoising strength": "0.5",
    ]
    for (name, value) in fields { #expect(text[name] == value, "\(name)") }
    #expect(text["Clip skip"] == nil && text["Hires resize"] == nil)
    // A JSON object that was cut off ends with the line.
    let cut = Infotext(parsing: "a\n" + line + ", SDCPP: {\"prompt\": \"b, Seed: 5, Steps: 1")
    #expect(cut["Seed"] == "42" && cut.fields.last?.name == "SDCPP")
    // The web UI's texts stay as they are.
    #expect(Infotext(parsing: Self.webUI).withWebUIFields == Infotext(parsing: Self.webUI))
  }

  /// Long malicious lines are read in one pass.
  @Test func longLines() {
    let text = Infotext(parsing: "p\n" + String(repeating: "aa aa-", count: 200_000))
    #expect(text.fields.isEmpty)
    let quotes = Infotext(parsing: "p\n" + String(repeating: "Aa: \"\\\"", count: 50_000))
    #expect(quotes.fields.count <= 1)
    let open = Infotext(parsing: "p\n" + String(repeating: "Aa: [{, ", count: 50_000))
    #expect(open.fields.count == 50_000)
  }
}
