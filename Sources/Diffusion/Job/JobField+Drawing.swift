import OrderedJSON

// Fields about the model, additional networks and approximations.
extension JobField {
  // MARK: Model

  package static let model = JobField(
    "model", \.model, .model, .name,
    "The model: a diffusers directory, or a weights file (safetensors, .ckpt, GGUF, .sdflat)",
    placeholder: "path", standard: "the bundled model", [.input, .loading])

  package static let vae = JobField(
    "vae", \.vae, .model, .name,
    "Decode and encode with this VAE instead of the model's: a file, or a directory, in any layout",
    placeholder: "path", standard: "the model's own", [.input, .loading, .recorded])

  package static let variant = JobField(
    "variant", \.variant, .model, .name,
    "Read these weights of a diffusers directory: fp16, non_ema, …",
    placeholder: "name", standard: "the weights without a variant", [.loading, .recorded])

  package static let dtype = JobField(
    "dtype", \.dtype, .model,
    "Compute dtype: \(part: .range); auto is bf16 if the CPU supports it, otherwise f32",
    placeholder: "type", default: .auto, [.loading, .recorded])

  package static let threads = JobField(
    "threads", \.threads, .model, .integer(1...1024), "Threads, \(part: .range)",
    placeholder: "n", unit: "threads",
    standard: "one per core; one for a small network", [.loading, .recorded])

  package static let engine = JobField(
    "engine", \.engine, .model,
    .form(
      allowed: "native, onnxruntime or onnxruntime:PROVIDER",
      choices: ["native", "onnxruntime"] + NetworkEngine.providers.map { "onnxruntime:\($0)" }
    ) { NetworkEngine(name: $0) != nil },
    "What computes the networks: \(part: .range); a provider is a name (cpu, openvino, webgpu, cuda, tensorrt) or the path of a plug-in",
    placeholder: "name", default: "native", [.loading, .recorded])

  package static let onnxRuntime = JobField(
    "onnxruntime", \.onnxRuntime, .model, .name,
    "The library of ONNX Runtime, or a directory that contains it", placeholder: "path",
    standard: "SDLOOM_ONNXRUNTIME, otherwise the usual places", [.loading])

  // MARK: Additional networks

  package static let lora = JobField(
    "lora", \.lora, .networks, .name,
    "Apply an adapter (LoRA, LoHa, LoKr, DoRA, …) to the weights, with a scale of -10 to 10; repeatable",
    placeholder: "file[:scale]", standard: "none; the scale: 1",
    [.input, .loading, .recorded])

  package static let control = JobField(
    "control", \.control, .networks, .name,
    "Use this ControlNet, a file or its directory; repeatable",
    placeholder: "path", standard: "none", [.input, .loading, .recorded])

  package static let controlImage = JobField(
    "control-image", \.controlImage, .networks, .name,
    "Control image for the matching \(field: "control"): edges, pose or depth",
    placeholder: "file", standard: "none; required for each \(field: "control")",
    [.input, .recorded])

  package static let controlScale = JobField(
    "control-scale", \.controlScale, .networks, .number(0...10),
    "ControlNet strength, \(part: .range); one for all or one each",
    placeholder: "scale", default: 1)

  package static let controlStart = JobField(
    "control-start", \.controlStart, .networks, .number(0...1),
    "Fraction of the steps at which the ControlNet starts, \(part: .range); one for all or one each",
    placeholder: "share", unit: "share", default: 0)

  package static let controlEnd = JobField(
    "control-end", \.controlEnd, .networks, .number(0...1),
    "Fraction of the steps at which the ControlNet ends, \(part: .range); one for all or one each",
    placeholder: "share", unit: "share", default: 1)

  package static let tinyVAE = JobField(
    "tiny-vae", \.tinyVAE, .networks, .name,
    "Decode with this tiny autoencoder (TAESD), a file or its directory: fast, with less detail",
    placeholder: "path", standard: "none", [.input, .loading, .recorded])

  package static let tinyVAEFor = JobField(
    "tiny-vae-for", \.tinyVAEFor, .networks,
    "What the tiny autoencoder decodes: all images, or previews only", placeholder: "what",
    default: .all, [.loading, .recorded])

  package static let noSafetyChecker = JobField(
    "no-safety-checker", \.noSafetyChecker, .networks, .flag,
    "Disable the model's safety checker", default: false,
    [.loading, .recorded])

  // MARK: Approximations

  package static let cacheInterval = JobField(
    "cache-interval", \.cacheInterval, .approximations, .integer(1...100),
    "Run the full UNet every n evaluations and only its last layer in between, \(part: .range) (DeepCache); 1 is exact",
    placeholder: "n", unit: "evaluations", default: 1, [.loading, .recorded])

  package static let guidanceInterval = JobField(
    "guidance-interval", \.guidanceInterval, .approximations,
    .form(
      allowed: "two fractions from 0 to 1, the smaller one first, such as 0.1:0.8"
    ) { ShareInterval(text: $0) != nil },
    "Range of steps with guidance, two fractions from 0 to 1 such as 0.1:0.8; other steps take half the time",
    placeholder: "from:to", unit: "share", default: "0:1", standard: "0:1, all")

  package static let tokenMerging = JobField(
    "token-merging", \.tokenMerging, .approximations, .number(0...0.75),
    "Merge this fraction of similar UNet tokens before self-attention at the highest resolution (ToMe), \(part: .range), in thousandths",
    placeholder: "share", unit: "share", default: 0, standard: "0, none", [.loading, .recorded])

  package static let vaeTile = JobField(
    "vae-tile", \.vaeTile, .approximations,
    .form(allowed: "auto, off, or a multiple of 8 from 256 to 8192", choices: ["auto", "off"]) {
      VAETiling(text: $0) != nil
    },
    "Decode large images in tiles: auto (above 768 pixels), off, or the maximum side of a tile in pixels, a multiple of 8 from 256 to 8192",
    placeholder: "pixels", unit: "pixels", default: "auto", [.loading, .recorded])

  package static let lowMemory = JobField(
    "low-memory", \.lowMemory, .approximations, .flag,
    "Keep weights in a temporary file (in TMPDIR, otherwise /var/tmp) instead of memory, and decode in tiles of 384 pixels",
    default: false, [.loading, .recorded])

  /// The fields above, in the order of the help.
  static let drawingFields: [JobField] = [
    model, vae, variant, dtype, threads, engine, onnxRuntime,
    lora, control, controlImage, controlScale, controlStart, controlEnd, tinyVAE, tinyVAEFor,
    noSafetyChecker,
    cacheInterval, guidanceInterval, tokenMerging, vaeTile, lowMemory,
  ]
}
