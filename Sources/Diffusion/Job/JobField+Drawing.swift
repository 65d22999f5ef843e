import OrderedJSON

// What draws it: model, additional networks, approximations.
extension JobField {
  // MARK: Model

  public static let model = JobField(
    "model", \.model, .model, .name,
    "The model: a repository, or a file of weights (safetensors, .ckpt, GGUF, .sdflat)",
    placeholder: "path", standard: "the embedded model", [.input, .loading])

  public static let vae = JobField(
    "vae", \.vae, .model, .name,
    "Decode and encode with this VAE instead of the model's: a file, or a directory, in any layout",
    placeholder: "path", standard: "the model's own", [.input, .loading, .recorded])

  public static let variant = JobField(
    "variant", \.variant, .model, .name,
    "Read these weights of a diffusers directory: fp16, non_ema, …",
    placeholder: "name", standard: "the weights without a variant", [.loading, .recorded])

  public static let dtype = JobField(
    "dtype", \.dtype, .model,
    "Arithmetic: \(part: .range); auto is bf16 where the CPU multiplies it, else f32",
    placeholder: "type", default: .auto, [.loading, .recorded])

  public static let threads = JobField(
    "threads", \.threads, .model, .integer(1...1024), "Threads, \(part: .range)",
    placeholder: "n", unit: "threads",
    standard: "one for each core; one for a small network", [.loading, .recorded])

  // MARK: Additional networks

  public static let lora = JobField(
    "lora", \.lora, .networks, .name,
    "Apply an adapter (LoRA, LoHa, LoKr, DoRA, …) to the weights, times a scale of -10 to 10; may be given several times",
    placeholder: "file[:scale]", standard: "none; the scale: 1",
    [.input, .loading, .recorded])

  public static let control = JobField(
    "control", \.control, .networks, .name,
    "Follow a picture with this ControlNet, a file or its directory; may be given several times",
    placeholder: "path", standard: "none", [.input, .loading, .recorded])

  public static let controlImage = JobField(
    "control-image", \.controlImage, .networks, .name,
    "The map that the ControlNet of the same place follows: edges, a pose, depths",
    placeholder: "file", standard: "none; one for each \(field: "control")",
    [.input, .recorded])

  public static let controlScale = JobField(
    "control-scale", \.controlScale, .networks, .number(0...10),
    "How strongly it is followed, \(part: .range); one for all or one each",
    placeholder: "scale", default: 1)

  public static let controlStart = JobField(
    "control-start", \.controlStart, .networks, .number(0...1),
    "The share of the steps from which it is followed, \(part: .range); one for all or one each",
    placeholder: "share", unit: "share", default: 0)

  public static let controlEnd = JobField(
    "control-end", \.controlEnd, .networks, .number(0...1),
    "The share of the steps up to which it is followed, \(part: .range); one for all or one each",
    placeholder: "share", unit: "share", default: 1)

  public static let tinyVAE = JobField(
    "tiny-vae", \.tinyVAE, .networks, .name,
    "Decode with this tiny autoencoder (TAESD), a file or its directory: fast, with less detail",
    placeholder: "path", standard: "none", [.input, .loading, .recorded])

  public static let tinyVAEFor = JobField(
    "tiny-vae-for", \.tinyVAEFor, .networks,
    "What the tiny autoencoder decodes: all, or previews alone", placeholder: "what",
    default: .all, [.loading, .recorded])

  public static let noSafetyChecker = JobField(
    "no-safety-checker", \.noSafetyChecker, .networks, .flag,
    "Draw without the safety checker of models that have one", default: false,
    [.loading, .recorded])

  // MARK: Approximations

  public static let cacheInterval = JobField(
    "cache-interval", \.cacheInterval, .approximations, .integer(1...100),
    "Run the whole UNet every n evaluations and its last layer alone between them, \(part: .range) (DeepCache); 1 is always the whole",
    placeholder: "n", unit: "evaluations", default: 1, [.loading, .recorded])

  public static let guidanceInterval = JobField(
    "guidance-interval", \.guidanceInterval, .approximations,
    .form(
      allowed: "two shares from 0 to 1, the first the smaller, as in 0.1:0.8"
    ) { ShareInterval(text: $0) != nil },
    "The share of the steps in which guidance applies, two numbers from 0 to 1 as in 0.1:0.8; the others take half the time",
    placeholder: "from:to", unit: "share", default: "0:1", standard: "0:1, all")

  public static let tokenMerging = JobField(
    "token-merging", \.tokenMerging, .approximations, .number(0...0.75),
    "Merge this share of the UNet's tokens that are alike before the self-attention of its highest resolution (ToMe), \(part: .range), in thousandths",
    placeholder: "share", unit: "share", default: 0, standard: "0, none", [.loading, .recorded])

  public static let vaeTile = JobField(
    "vae-tile", \.vaeTile, .approximations,
    .form(allowed: "auto, off, or a multiple of 8 from 256 to 8192", choices: ["auto", "off"]) {
      VAETiling(text: $0) != nil
    },
    "Decode large pictures in tiles: auto (beyond 768 pixels), off, or the longest side of a tile in pixels, a multiple of 8 from 256 to 8192",
    placeholder: "pixels", unit: "pixels", default: "auto", [.loading, .recorded])

  public static let lowMemory = JobField(
    "low-memory", \.lowMemory, .approximations, .flag,
    "Keep weights in a temporary file (in TMPDIR, else /var/tmp) instead of in memory, and decode in tiles of 384 pixels",
    default: false, [.loading, .recorded])

  /// The fields above, in the order of the help.
  static let drawingFields: [JobField] = [
    model, vae, variant, dtype, threads,
    lora, control, controlImage, controlScale, controlStart, controlEnd, tinyVAE, tinyVAEFor,
    noSafetyChecker,
    cacheInterval, guidanceInterval, tokenMerging, vaeTile, lowMemory,
  ]
}
