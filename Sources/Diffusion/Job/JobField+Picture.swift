import OrderedJSON
import Pictures

// Fields that determine the image: prompt, sampling, size and init image.
extension JobField {
  // MARK: Prompt

  package static let prompt = JobField(
    "prompt", \.prompt, .prompt, .words,
    "The prompt, up to \(GenerationRequest.promptLimit) bytes; (words:1.2) have more weight, [words] less, BREAK starts a new chunk",
    placeholder: "prompt", unit: "bytes",
    standard: "none; required without \(field: "prompts-from")")

  package static let promptsFrom = JobField(
    "prompts-from", \.promptsFrom, .prompt, .name,
    "Use each line of this file, or of standard input for -, as a prompt, up to 10000; lines that begin with # are skipped",
    placeholder: "file", standard: "none", .input)

  package static let negative = JobField(
    "negative", \.negative, .prompt, .words, "What the picture should not show",
    placeholder: "text", unit: "bytes", standard: "nothing")

  package static let clipSkip = JobField(
    "clip-skip", \.clipSkip, .prompt, .integer(1...128),
    "Text encoder layer to use, counted from the last, 1 to the number of layers: 12 in Stable Diffusion v1.5, at most 128",
    placeholder: "n", unit: "layers", default: 1)

  package static let emphasis = JobField(
    "emphasis", \.emphasis, .prompt,
    "How weights are applied, by the web UI's names: original, no-norm, ignore, or none to treat brackets as text",
    placeholder: "name", default: .original)

  package static let plainPrompt = JobField(
    "plain-prompt", \.plainPrompt, .prompt, .flag,
    "Read prompts as diffusers does: no weights, and one chunk of 75 tokens", default: false)

  package static let embedding = JobField(
    "embedding", \.embedding, .prompt, .name,
    "Textual inversion embedding and its trigger word; repeatable",
    placeholder: "file[:word]", standard: "none; the word: the file's",
    [.input, .loading, .recorded])

  // MARK: Sampling

  package static let steps = JobField(
    "steps", \.steps, .sampling, .integer(1...1000), "Steps of the scheduler, \(part: .range)",
    placeholder: "n", unit: "steps", default: 25,
    standard: "25; one per number in \(field: "sigmas")")

  package static let guidance = JobField(
    "guidance", \.guidance, .sampling, .number(0...100),
    "Guidance scale, \(part: .range); at 1 or less, the negative prompt is ignored",
    placeholder: "scale", standard: "7.5; 4 with the bundled model")

  package static let seed = JobField(
    "seed", \.seed, .sampling, .integer(0...Int.max),
    "Seed of the noise, \(part: .range); with \(field: "rng") numpy to 2^32-1",
    placeholder: "n", standard: "random")

  package static let variationSeed = JobField(
    "variation-seed", \.variationSeed, .sampling, .integer(0...Int.max),
    "Seed of a second noise, \(part: .range), mixed with that of \(field: "seed"), as in the web UI; with \(field: "count") it increases, and \(field: "seed") stays",
    placeholder: "n", standard: "none")

  package static let variationStrength = JobField(
    "variation-strength", \.variationStrength, .sampling, .number(0...1),
    "Fraction of the second noise, \(part: .range)", placeholder: "fraction", unit: "fraction",
    standard: "none; required with \(field: "variation-seed")")

  package static let seedResize = JobField(
    "seed-resize", \.seedResize, .sampling,
    .form(allowed: "width and height in pixels, multiples of 8 from 8 to 8192, as in 512x512") {
      SeedSize(text: $0) != nil
    },
    "Fill the middle with the noise that \(field: "seed") gives at this size (\(part: .range)), so that an image of another size is similar",
    placeholder: "widthxheight", unit: "pixels", standard: "the size of the image")

  package static let scheduler = JobField(
    "scheduler", \.scheduler, .sampling, .name,
    "The scheduler: one of the names below, a diffusers class or a web UI's name, such as \"DPM++ 2M Karras\"",
    placeholder: "name", standard: "the model's own")

  package static let sigmas = JobField(
    "sigmas", \.sigmas, .sampling,
    .form(
      allowed: SigmaSpacing.named.map(\.name).joined(separator: ", ")
        + ", or decreasing numbers above 0 and up to 10000, such as 14.6,5,1.5,0.3",
      choices: SigmaSpacing.named.map(\.name)
    ) { SigmaSpacing(text: $0) != nil },
    "Sigmas (noise levels): \(SigmaSpacing.namesWithMeaning), or decreasing numbers separated by commas, one per step; not for \(SchedulerDescriptor.names { !$0.takesSigmas })",
    placeholder: "spacing", standard: "the scheduler's own")

  package static let spacing = JobField(
    "spacing", \.spacing, .sampling, "Timesteps: \(part: .range)", placeholder: "spacing",
    standard: "the model's or the scheduler's own")

  package static let prediction = JobField(
    "prediction", \.prediction, .sampling, "What the UNet predicts: \(part: .range)",
    placeholder: "type", standard: "the model's own")

  package static let eta = JobField(
    "eta", \.eta, .sampling, .number(0...1),
    "\(part: .range): \(SchedulerDescriptor.etaMeanings)",
    placeholder: "share", unit: "share", standard: "\(SchedulerDescriptor.etaDefaults)")

  package static let pndmStart = JobField(
    "pndm-start", \.pndmStart, .sampling,
    "Start of pndm: runge-kutta (three steps of four evaluations each) or repeat (one step is run twice)",
    placeholder: "way", standard: "the model's own")

  package static let rng = JobField(
    "rng", \.rng, .sampling,
    "Random number generator: torch (on a CPU), cuda (torch on a GPU, and web UIs), numpy",
    placeholder: "name", default: .torch)

  // MARK: Images

  package static let width = JobField(
    "width", \.width, .pictures, .integer(8...8192, multipleOf: 8),
    "Width in pixels, \(part: .range)", placeholder: "pixels", unit: "pixels",
    standard: "the \(field: "init") image's, otherwise the model's own")

  package static let height = JobField(
    "height", \.height, .pictures, .integer(8...8192, multipleOf: 8),
    "Height in pixels, \(part: .range)", placeholder: "pixels", unit: "pixels",
    standard: "the \(field: "init") image's, otherwise the model's own")

  package static let count = JobField(
    "count", \.count, .pictures, .integer(1...10_000),
    "Number of images, \(part: .range), each with the next seed: out-1.png, out-2.png, …",
    placeholder: "n", unit: "pictures", default: 1, [])

  package static let batchSize = JobField(
    "batch-size", \.batchSize, .pictures, .integer(1...64),
    "Maximum batch size for images of one prompt, \(part: .range), limited by memory; needs \(field: "count") or \(field: "latents") with several noises. Images are the same for every batch size",
    placeholder: "n", unit: "pictures", default: 1, [])

  package static let latents = JobField(
    "latents", \.latents, .pictures, .name, "Start from the noise in this safetensors file",
    placeholder: "file", standard: "the seed's", [.input, .recorded])

  package static let initial = JobField(
    "init", \.initial, .pictures, .name,
    "Init image (PNG, JPEG, WebP), resized to the output size",
    placeholder: "file", standard: "none", [.input, .recorded])

  package static let strength = JobField(
    "strength", \.strength, .pictures, .number(0...1, isAbove: true),
    "Denoising strength, \(part: .range): the fraction of steps to run on the \(field: "init") image",
    placeholder: "share", unit: "share", standard: "0.75; 1 with \(field: "outpaint")")

  package static let mask = JobField(
    "mask", \.mask, .pictures, .name,
    "Repaint only the light areas of this mask. The rest of the \(field: "init") image passes through the VAE: similar, but not pixel-exact; see \(field: "paste-back")",
    placeholder: "file", standard: "none", [.input, .recorded])

  package static let outpaint = JobField(
    "outpaint", \.outpaint, .pictures,
    .form(
      allowed: "four multiples of 8 from 0 to 4096, one of them above 0, such as 64,0,64,0"
    ) { Image.Padding(text: $0) != nil },
    "Extend the \(field: "init") image by this many pixels at each side, multiples of 8 from 0 to 4096",
    placeholder: "left,top,right,bottom", unit: "pixels", standard: "none")

  package static let pasteBack = JobField(
    "paste-back", \.pasteBack, .pictures, .flag,
    "Copy the areas of the \(field: "init") image that \(field: "mask") or \(field: "outpaint") keeps over the result, pixel for pixel; gray mask values blend",
    default: false)

  package static let hires = JobField(
    "hires", \.hires, .pictures, .number(1...8, isAbove: true),
    "Hires fix: upscale by this factor and run a second pass, \(part: .range)",
    placeholder: "scale", unit: "times", standard: "none")

  package static let hiresStrength = JobField(
    "hires-strength", \.hiresStrength, .pictures, .number(0...1, isAbove: true),
    "Denoising strength of the second pass of \(field: "hires"), \(part: .range)",
    placeholder: "share", unit: "share", default: 0.7)

  package static let hiresSteps = JobField(
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
