import ArgumentParser
import Diffusion
import Pictures

/// What is written and said.
struct OutputOptions: ParsableArguments {
  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp(
      "The picture to write, PNG, JPEG or WebP by its ending (default: out.png).",
      valueName: "file"))
  var path: String?

  @Option(
    help: ArgumentHelp(
      "Write this format whatever the name: png, jpeg or webp (default: the name's; png).",
      valueName: "format"))
  var format: PictureFormat?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Quality of JPEG and WebP, 1 to 100 (default: 95 for JPEG; WebP without loss).",
      valueName: "n"), transform: wholeNumber(in: 1...100))
  var quality: Int?

  @Flag(help: "Write nothing into the picture about how it was made.")
  var noMetadata = false

  @Flag(help: "Write into the picture the hash of the model's file, which takes time to compute.")
  var modelHash = false

  @Flag(help: "Write beside each picture a JSON file that says how it was made: out.json.")
  var sidecar = false

  @Option(
    help: ArgumentHelp(
      "Write the finished latents, and the noise they came from, to this safetensors file"
        + " (default: none).",
      valueName: "file"), completion: .file())
  var saveLatents: String?

  @Flag(help: "Print JSON instead of text.")
  var json = false

  @Flag(help: "Print nothing but errors, and what --json, --profile and --show print.")
  var quiet = false

  @Flag(help: "Replace files that exist.")
  var force = false

  /// Whether notes, warnings and progress are left out of stderr.
  var isSilent: Bool { json || quiet }

  /// The picture to write.
  var file: String { path ?? "out." + (format == .jpeg ? "jpg" : format?.rawValue ?? "png") }

  /// How pictures are written.
  var compression: PictureFile.Compression {
    PictureFile.Compression(format ?? PictureFormat(path: file) ?? .png, quality: quality)
  }

  func validate() throws {
    if let path {
      guard !path.isEmpty else { throw ValidationError("--output is empty; give a file's name") }
      guard path != "-" else {
        throw ValidationError("--output is -; pictures go to files, not to stdout: give a name")
      }
      if format == nil { try checkPictureEnding("--output", path, orElse: ", or give --format") }
    }
    if quality != nil, compression.format == .png {
      throw ValidationError("--quality is for JPEG and WebP; PNG keeps every pixel")
    }
  }
}

extension PictureFormat: ExpressibleByArgument {
  public init?(argument: String) {
    self.init(rawValue: argument == "jpg" ? "jpeg" : argument)
  }
}
