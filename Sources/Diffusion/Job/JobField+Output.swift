import OrderedJSON

// Fields about output and display.
extension JobField {
  // MARK: Output

  public static let output = JobField(
    "output", \.output, .output, .name,
    "Output image; the extension selects PNG, JPEG or WebP", letter: "o", placeholder: "file",
    default: "out.png", .output)

  public static let format = JobField(
    "format", \.format, .output, "Output format, overrides the extension: \(part: .range)",
    placeholder: "format", standard: "by extension; png", [])

  public static let quality = JobField(
    "quality", \.quality, .output, .integer(1...100), "Quality of JPEG and WebP, \(part: .range)",
    placeholder: "n", standard: "95 for JPEG; lossless WebP")

  public static let noMetadata = JobField(
    "no-metadata", \.noMetadata, .output, .flag,
    "Write no generation metadata", default: false, [])

  public static let modelHash = JobField(
    "model-hash", \.modelHash, .output, .flag,
    "Include the hash of the model file in the metadata (slow)",
    default: false, [])

  public static let sidecar = JobField(
    "sidecar", \.sidecar, .output, .flag,
    "Write a JSON file with the metadata next to each image: out.json", default: false,
    [])

  public static let saveLatents = JobField(
    "save-latents", \.saveLatents, .output, .name,
    "Write the final latents and the initial noise to this safetensors file",
    placeholder: "file", standard: "none", .output)

  public static let json = JobField(
    "json", \.json, .output, .flag, "Print JSON instead of text", default: false, [])

  public static let quiet = JobField(
    "quiet", \.quiet, .output, .flag,
    "Print only errors, and the output of \(field: "json"), \(field: "profile") and \(field: "show")",
    default: false, [])

  public static let force = JobField(
    "force", \.force, .output, .flag, "Replace existing files", default: false, [])

  // MARK: Watching

  public static let previewEvery = JobField(
    "preview-every", \.previewEvery, .watching, .integer(1...1000),
    "Write the predicted image after every n UNet evaluations, \(part: .range): out-step-5.png",
    placeholder: "n", unit: "evaluations", standard: "none", [])

  public static let preview = JobField(
    "preview", \.preview, .watching,
    "Decoder of predictions: vae, tiny (see \(field: "tiny-vae")), latent (a linear map at no cost), or auto (tiny if given, otherwise vae)",
    placeholder: "way", default: .auto, [])

  public static let contactSheet = JobField(
    "contact-sheet", \.contactSheet, .watching, .name,
    "Write a contact sheet of up to eight evaluations, with latents, predicted image and noise of each",
    placeholder: "file", standard: "none", .output)

  public static let animation = JobField(
    "animation", \.animation, .watching, .name,
    "Write the predictions after every evaluation as an animation; the extension selects WebP or PNG",
    placeholder: "file", standard: "none", .output)

  public static let profile = JobField(
    "profile", \.profile, .watching, .flag,
    "Print the time of each component and of each UNet evaluation", default: false,
    [])

  public static let trace = JobField(
    "trace", \.trace, .watching, .name,
    "Write a Chrome trace of every layer, for ui.perfetto.dev", placeholder: "file",
    standard: "none", .output)

  public static let show = JobField(
    "show", \.show, .watching, .flag,
    "Show the finished image in terminals that support it", default: false, [])

  public static let showAs = JobField(
    "show-as", \.showAs, .watching, "Terminal graphics protocol: \(part: .range)",
    placeholder: "protocol", standard: "detected; implies \(field: "show")", [])

  /// The fields above, in the order of the help.
  static let outputFields: [JobField] = [
    output, format, quality, noMetadata, modelHash, sidecar, saveLatents, json, quiet, force,
    previewEvery, preview, contactSheet, animation, profile, trace, show, showAs,
  ]
}
