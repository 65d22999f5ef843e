import OrderedJSON
import Pictures

// What a picture looks like: prompt, sampling, size and start.
extension JobField {
  // MARK: Prompt

  public static let prompt = JobField(
    "prompt", \.prompt, .prompt, .words,
    "What the picture shows, up to \(GenerationRequest.promptLimit) bytes; (words:1.2) weigh more, [words] less, BREAK begins a new chunk",
    placeholder: "prompt", unit: "bytes",
    standard: "none; required without \(field: "prompts-from")")

  public static let promptsFrom = JobField(
    "prompts-from", \.promptsFrom, .prompt, .name,
    "Draw each line of this file, or of standard input for -, up to 10000; lines that begin with # are left out",
    placeholder: "file", standard: "none", .input)

  public static let negative = JobField(
    "negative", \.negative, .prompt, .words, "What the picture should not show",
    placeholder: "text", unit: "bytes", standard: "nothing")

  public static let clipSkip = JobField(
    "clip-skip", \.clipSkip, .prompt, .integer(1...128),
    "The text encoder's layer to take, counted from the last, 1 to the number of layers: 12 in Stable Diffusion v1.5, 128 at most",
    placeholder: "n", unit: "layers", default: 1)

  public static let emphasis = JobField(
    "emphasis", \.emphasis, .prompt,
    "How weights act, by the web UI's names: original, no-norm, ignore, or none to read brackets as text",
    placeholder: "name", default: .original)

  public static let plainPrompt = JobField(
    "plain-prompt", \.plainPrompt, .prompt, .flag,
    "Read prompts as diffusers does: no weights, and one chunk of 75 tokens", default: false)

  public static let embedding = JobField(
    "embedding", \.embedding, .prompt, .name,
    "Learned vectors of a textual inversion, and the word that stands for them; may be given several times",
    placeholder: "file[:word]", standard: "none; the word: the file's",
    [.input, .loading, .recorded])

  // MARK: Sampling

  public static let steps = JobField(
    "steps", \.steps, .sampling, .integer(1...1000), "Steps of the scheduler, \(part: .range)",
    placeholder: "n", unit: "steps", default: 25,
    standard: "25; one for each number of \(field: "sigmas")")

  public static let guidance = JobField(
    "guidance", \.guidance, .sampling, .number(0...100),
    "Guidance scale, \(part: .range); up to 1 the negative prompt is left out",
    placeholder: "scale", standard: "7.5; 4 with the embedded model")

  public static let seed = JobField(
    "seed", \.seed, .sampling, .integer(0...Int.max),
    "Seed of the noise, \(part: .range); with \(field: "rng") numpy to 2^32-1",
    placeholder: "n", standard: "drawn")

  public static let variationSeed = JobField(
    "variation-seed", \.variationSeed, .sampling, .integer(0...Int.max),
    "Seed of a second noise, \(part: .range), mixed with that of \(field: "seed"), as in the web UI; with \(field: "count") it counts on, and \(field: "seed") stays",
    placeholder: "n", standard: "none")

  public static let variationStrength = JobField(
    "variation-strength", \.variationStrength, .sampling, .number(0...1),
    "Share of the second noise, \(part: .range)", placeholder: "share", unit: "share",
    standard: "none; required with \(field: "variation-seed")")

  public static let seedResize = JobField(
    "seed-resize", \.seedResize, .sampling,
    .form(allowed: "width and height in pixels, multiples of 8 from 8 to 8192, as in 512x512") {
      SeedSize(text: $0) != nil
    },
    "Put the noise that \(field: "seed") gives at this size into the middle of the noise, so that another size shows a similar image",
    placeholder: "widthxheight", unit: "pixels", standard: "the size drawn")

  public static let scheduler = JobField(
    "scheduler", \.scheduler, .sampling, .name,
    "The scheduler: one of the names below, a diffusers class or a web UI's name, such as \"DPM++ 2M Karras\"",
    placeholder: "name", standard: "the model's own")

  public static let sigmas = JobField(
    "sigmas", \.sigmas, .sampling,
    .form(
      allowed: SigmaSpacing.named.map(\.name).joined(separator: ", ")
        + ", or falling numbers above 0 and up to 10000, as in 14.6,5,1.5,0.3",
      choices: SigmaSpacing.named.map(\.name)
    ) { SigmaSpacing(text: $0) != nil },
    "Sigmas (noise levels): \(SigmaSpacing.namesWithMeaning), or falling numbers with commas, one per step; not for \(SchedulerDescriptor.names { !$0.takesSigmas })",
    placeholder: "spacing", standard: "the scheduler's own")

  public static let spacing = JobField(
    "spacing", \.spacing, .sampling, "Timesteps: \(part: .range)", placeholder: "spacing",
    standard: "the model's or the scheduler's own")

  public static let prediction = JobField(
    "prediction", \.prediction, .sampling, "What the UNet predicts: \(part: .range)",
    placeholder: "type", standard: "the model's own")

  public static let eta = JobField(
    "eta", \.eta, .sampling, .number(0...1),
    "\(part: .range): \(SchedulerDescriptor.etaMeanings)",
    placeholder: "share", unit: "share", standard: "\(SchedulerDescriptor.etaDefaults)")

  public static let pndmStart = JobField(
    "pndm-start", \.pndmStart, .sampling,
    "How pndm starts: runge-kutta, with three steps of four evaluations, or repeat, with one step taken twice",
    placeholder: "way", standard: "the model's own")

  public static let rng = JobField(
    "rng", \.rng, .sampling,
    "Generator of the noise: torch (on a CPU), cuda (torch on a GPU, and web UIs), numpy",
    placeholder: "name", default: .torch)

  // MARK: Pictures

  public static let width = JobField(
    "width", \.width, .pictures, .integer(8...8192, multipleOf: 8),
    "Width in pixels, \(part: .range)", placeholder: "pixels", unit: "pixels",
    standard: "the \(field: "init") picture's, else the model's own")

  public static let height = JobField(
    "height", \.height, .pictures, .integer(8...8192, multipleOf: 8),
    "Height in pixels, \(part: .range)", placeholder: "pixels", unit: "pixels",
    standard: "the \(field: "init") picture's, else the model's own")

  public static let count = JobField(
    "count", \.count, .pictures, .integer(1...10_000),
    "Pictures to draw, \(part: .range), each with the next seed: out-1.png, out-2.png, …",
    placeholder: "n", unit: "pictures", default: 1, [])

  public static let batchSize = JobField(
    "batch-size", \.batchSize, .pictures, .integer(1...64),
    "Pictures of one prompt that are drawn at once, \(part: .range); as many as memory allows. They are the same as one by one; without \(field: "count") or several noises of \(field: "latents") there is but one of each prompt",
    placeholder: "n", unit: "pictures", default: 1, [])

  public static let latents = JobField(
    "latents", \.latents, .pictures, .name, "Start from the noise in this safetensors file",
    placeholder: "file", standard: "the seed's", [.input, .recorded])

  public static let initial = JobField(
    "init", \.initial, .pictures, .name,
    "Start from this picture (PNG, JPEG, WebP), brought to the size to draw",
    placeholder: "file", standard: "none", [.input, .recorded])

  public static let strength = JobField(
    "strength", \.strength, .pictures, .number(0...1, isAbove: true),
    "How much of the \(field: "init") picture may change, \(part: .range): the share of the steps taken",
    placeholder: "share", unit: "share", standard: "0.75; 1 with \(field: "outpaint")")

  public static let mask = JobField(
    "mask", \.mask, .pictures, .name,
    "Repaint only what is light in this picture, and keep the rest of \(field: "init") as the VAE gives it back: alike, not every pixel the same; see \(field: "paste-back")",
    placeholder: "file", standard: "none", [.input, .recorded])

  public static let outpaint = JobField(
    "outpaint", \.outpaint, .pictures,
    .form(
      allowed: "four multiples of 8 from 0 to 4096, one of them above 0, as in 64,0,64,0"
    ) { Image.Padding(text: $0) != nil },
    "Extend the \(field: "init") picture by so many pixels at each side, multiples of 8 from 0 to 4096",
    placeholder: "left,top,right,bottom", unit: "pixels", standard: "none")

  public static let pasteBack = JobField(
    "paste-back", \.pasteBack, .pictures, .flag,
    "Put what \(field: "mask") or \(field: "outpaint") keeps of the \(field: "init") picture back over the drawn one, pixel for pixel; where the mask is grey, both are mixed",
    default: false)

  public static let hires = JobField(
    "hires", \.hires, .pictures, .number(1...8, isAbove: true),
    "Draw a second time, so many times larger, from the first picture: \(part: .range)",
    placeholder: "scale", unit: "times", standard: "none")

  public static let hiresStrength = JobField(
    "hires-strength", \.hiresStrength, .pictures, .number(0...1, isAbove: true),
    "How much the second pass of \(field: "hires") may change, \(part: .range)",
    placeholder: "share", unit: "share", default: 0.7)

  public static let hiresSteps = JobField(
    "hires-steps", \.hiresSteps, .pictures, .integer(1...1000),
    "Steps of the second pass of \(field: "hires"), \(part: .range)", placeholder: "n",
    unit: "steps", standard: "\(field: "steps")")

  /// The fields above, in the order of the help.
  static let pictureFields: [JobField] = [
    prompt, promptsFrom, negative, clipSkip, emphasis, plainPrompt, embedding,
    steps, guidance, seed, variationSeed, variationStrength, seedResize, scheduler, sigmas, spacing,
    prediction,
    eta, pndmStart, rng,
    width, height, count, batchSize, latents, initial, strength, mask, outpaint, pasteBack, hires,
    hiresStrength, hiresSteps,
  ]
}
