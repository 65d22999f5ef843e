import OrderedJSON

// Fields about output and display.
extension JobField {
  // MARK: Output

  package static let output = JobField(
    "output", \.output, .output, .name,
    "Output image; the extension selects PNG, JPEG or WebP", letter: "o", placeholder: "file",
    default: "out.png", .output)

  package static let format = JobField(
    "format", \.format, .output, "Write this format whatever the name: \(part: .range)",
    placeholder: "format", standard: "the name's; png", [])

  package static let quality = JobField(
    "quality", \.quality, .output, .integer(1...100), "Quality of JPEG and WebP, \(part: .range)",
    placeholder: "n", standard: "95 for JPEG; lossless WebP")

  package static let noMetadata = JobField(
    "no-metadata", \.noMetadata, .output, .flag,
    "Write no generation metadata", default: false, [])

  package static let modelHash = JobField(
    "model-hash", \.modelHash, .output, .flag,
    "Include the hash of the model file in the metadata (slow)",
    default: false, [])

  package static let sidecar = JobField(
    "sidecar", \.sidecar, .output, .flag,
    "Write a JSON file with the metadata next to each image: out.json", default: false,
    [])

  package static let saveLatents = JobField(
    "save-latents", \.saveLatents, .output, .name,
    "Write the final latents and the initial noise to this safetensors file",
    placeholder: "file", standard: "none", .output)

  package static let saveEmbeddings = JobField(
    "save-embeddings", \.saveEmbeddings, .output, .name,
    "Write the text encoder's output to this safetensors file, as diffusers' prompt_embeds and negative_prompt_embeds",
    placeholder: "file", standard: "none", .output)

  package static let json = JobField(
    "json", \.json, .output, .flag, "Print JSON instead of text", default: false, [])

  package static let quiet = JobField(
    "quiet", \.quiet, .output, .flag,
    "Print only errors, and the output of \(field: "json"), \(field: "profile") and \(field: "show")",
    default: false, [])

  package static let force = JobField(
    "force", \.force, .output, .flag, "Replace files that exist", default: false, [])

  // MARK: Watching

  package static let previewEvery = JobField(
    "preview-every", \.previewEvery, .watching, .integer(1...1000),
    "Write the predicted image after every n UNet evaluations, \(part: .range): out-step-5.png",
    placeholder: "n", unit: "evaluations", standard: "none", [])

  package static let preview = JobField(
    "preview", \.preview, .watching,
    "Decoder of predictions: vae, tiny (see \(field: "tiny-vae")), latent (a linear map at no cost), or auto (tiny if given, otherwise vae)",
    placeholder: "way", default: .auto, [])

  package static let contactSheet = JobField(
    "contact-sheet", \.contactSheet, .watching, .name,
    "Write a contact sheet of up to eight evaluations, with latents, predicted image and noise of each",
    placeholder: "file", standard: "none", .output)

  package static let contactSheetRows = JobField(
    "contact-sheet-rows", \.contactSheetRows, .watching,
    .form(
      allowed: "a list of latents, decoded, predicted, noise",
      choices: ContactSheet.Row.choices.map(\.rawValue)
    ) { ContactSheet.Row.list($0) != nil },
    "Rows of the contact sheet, separated by commas: latents, decoded (the latents with their noise, decoded), predicted (the predicted image), noise (the predicted noise)",
    placeholder: "rows", default: "latents,predicted", [])

  package static let animation = JobField(
    "animation", \.animation, .watching, .name,
    "Write the predictions after every evaluation as an animation; the extension selects WebP or PNG",
    placeholder: "file", standard: "none", .output)

  package static let profile = JobField(
    "profile", \.profile, .watching, .flag,
    "Print the time of each component and of each UNet evaluation", default: false,
    [])

  package static let trace = JobField(
    "trace", \.trace, .watching, .name,
    "Write a Chrome trace of every layer, for ui.perfetto.dev", placeholder: "file",
    standard: "none", .output)

  package static let show = JobField(
    "show", \.show, .watching, .flag,
    "Show the finished image in terminals that support it", default: false, [])

  package static let showAs = JobField(
    "show-as", \.showAs, .watching, "How the terminal is told pictures: \(part: .range)",
    placeholder: "protocol", standard: "as it says itself; implies \(field: "show")", [])

  /// The fields above, in the order of the help.
  static let outputFields: [JobField] = [
    output, format, quality, noMetadata, modelHash, sidecar, saveLatents,
    saveEmbeddings, json, quiet, force, previewEvery, preview, contactSheet, contactSheetRows,
    animation, profile, trace, show, showAs,
  ]
}
