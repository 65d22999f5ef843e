import OrderedJSON

// What is written, said and shown.
extension JobField {
  // MARK: Output

  package static let output = JobField(
    "output", \.output, .output, .name,
    "The picture to write, PNG, JPEG or WebP by its ending", letter: "o", placeholder: "file",
    default: "out.png", .output)

  package static let format = JobField(
    "format", \.format, .output, "Write this format whatever the name: \(part: .range)",
    placeholder: "format", standard: "the name's; png", [])

  package static let quality = JobField(
    "quality", \.quality, .output, .integer(1...100), "Quality of JPEG and WebP, \(part: .range)",
    placeholder: "n", standard: "95 for JPEG; WebP without loss")

  package static let noMetadata = JobField(
    "no-metadata", \.noMetadata, .output, .flag,
    "Write nothing into the picture about how it was made", default: false, [])

  package static let modelHash = JobField(
    "model-hash", \.modelHash, .output, .flag,
    "Write into the picture the hash of the model's file, which takes time to compute",
    default: false, [])

  package static let sidecar = JobField(
    "sidecar", \.sidecar, .output, .flag,
    "Write beside each picture a JSON file that says how it was made: out.json", default: false,
    [])

  package static let saveLatents = JobField(
    "save-latents", \.saveLatents, .output, .name,
    "Write the finished latents, and the noise they came from, to this safetensors file",
    placeholder: "file", standard: "none", .output)

  package static let json = JobField(
    "json", \.json, .output, .flag, "Print JSON instead of text", default: false, [])

  package static let quiet = JobField(
    "quiet", \.quiet, .output, .flag,
    "Print nothing but errors, and what \(field: "json"), \(field: "profile") and \(field: "show") print",
    default: false, [])

  package static let force = JobField(
    "force", \.force, .output, .flag, "Replace files that exist", default: false, [])

  // MARK: Watching

  package static let previewEvery = JobField(
    "preview-every", \.previewEvery, .watching, .integer(1...1000),
    "Write what the model predicts after every n evaluations of the UNet, \(part: .range): out-step-5.png",
    placeholder: "n", unit: "evaluations", standard: "none", [])

  package static let preview = JobField(
    "preview", \.preview, .watching,
    "How predictions become pictures: vae, tiny (what \(field: "tiny-vae") names), latent, a linear map that costs nothing, or auto, tiny where there is one and else vae",
    placeholder: "way", default: .auto, [])

  package static let contactSheet = JobField(
    "contact-sheet", \.contactSheet, .watching, .name,
    "Write one picture of up to eight evaluations, with latents, predicted picture and noise of each",
    placeholder: "file", standard: "none", .output)

  package static let animation = JobField(
    "animation", \.animation, .watching, .name,
    "Write the predictions after every evaluation as an animation, WebP or PNG by its ending",
    placeholder: "file", standard: "none", .output)

  package static let profile = JobField(
    "profile", \.profile, .watching, .flag,
    "Print the time that each component took, and each evaluation of the UNet", default: false,
    [])

  package static let trace = JobField(
    "trace", \.trace, .watching, .name,
    "Write a Chrome trace of every layer, for ui.perfetto.dev", placeholder: "file",
    standard: "none", .output)

  package static let show = JobField(
    "show", \.show, .watching, .flag,
    "Draw the finished picture in the terminal, where it shows pictures", default: false, [])

  package static let showAs = JobField(
    "show-as", \.showAs, .watching, "How the terminal is told pictures: \(part: .range)",
    placeholder: "protocol", standard: "as it says itself; implies \(field: "show")", [])

  /// The fields above, in the order of the help.
  static let outputFields: [JobField] = [
    output, format, quality, noMetadata, modelHash, sidecar, saveLatents, json, quiet, force,
    previewEvery, preview, contactSheet, animation, profile, trace, show, showAs,
  ]
}
