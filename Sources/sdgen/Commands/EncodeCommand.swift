import ArgumentParser
import Checkpoint
import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Encodes images to latents.
struct EncodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "encode",
    abstract: "Encode images to latents with a model's VAE.",
    discussion: """
      Latents are in the UNet's scale, as diffusers' and sdgen's own latents are: \
      (z - shift_factor) * scaling_factor. The file has one tensor, latents, F32 \
      [images, channels, height / 8, width / 8]. The VAE gives a mean and a variance for each latent; \
      the mean is written, or with --seed a random sample, as for an init image.

      EXAMPLES
        sdgen encode photo.png -o photo.safetensors
        sdgen encode a.png b.png --model sd15.sdflat --seed 1 -o both.safetensors
      """)

  @Argument(
    help: ArgumentHelp("The images, all of one size: PNG, JPEG or WebP.", valueName: "image"),
    completion: .file())
  var pictures: [String]

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp(
      "The safetensors file to write (default: latents.safetensors).", valueName: "file"),
    completion: .file())
  var output = "latents.safetensors"

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Sample the latents with this seed, 0 to 2^63-1 (default: their mean).", valueName: "n"),
    transform: wholeNumber(in: 0...Int.max))
  var seed: Int?

  @Option(.rng) var rng: RandomSourceName?
  @OptionGroup var options: CodecOptions

  @Flag(help: "Replace the file if it exists.")
  var force = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    if rng != nil, seed == nil { throw ValidationError("--rng needs --seed") }
  }

  func run() throws {
    try Failure.fromDrawing(encode)
  }

  private func encode() throws {
    var warnings: [String] = []
    let images = try pictures.map { path in
      try Self.image(at: path, &warnings)
    }
    for (path, image) in zip(pictures, images)
    where image.width != images[0].width || image.height != images[0].height {
      throw Failure(
        .data, code: "mismatch",
        "the image is \(image.width)x\(image.height), the first one"
          + " \(images[0].width)x\(images[0].height)", file: path,
        hint: "encode images of different sizes to different files")
    }
    let checkpoint = try options.checkpoint()
    warnings += checkpoint.warnings
    let codec = try options.codec(
      of: checkpoint, width: images[0].width, height: images[0].height)
    let bar = ProgressBar("encoding", elsewhere: json ? .nothing : .lines)
    defer { bar.finish() }
    var random = try seed.map { try (rng ?? .torch).source(seed: UInt64($0)) }
    let latents = try images.enumerated().map { index, image in
      bar.update(
        Double(index) / Double(images.count), "image \(index + 1) of \(images.count)", force: true)
      guard var source = random else {
        return codec.scale.applied(to: try codec.posterior(of: image).mean)
      }
      defer { random = source }
      return try codec.encode(image, &source)
    }
    bar.finish()
    try Latents.writer(latents: latents, to: output, overwrite: force).commit()
    report(latents, codec, warnings)
  }

  /// An image with sides that are multiples of 8, as in diffusers rounded down.
  static func image(at path: String, _ warnings: inout [String]) throws -> Image {
    let image = try PictureFile.opened(path) { warnings.append($0) }.image
    let (width, height) = (image.width / 8 * 8, image.height / 8 * 8)
    guard width > 0, height > 0, width <= 8192, height <= 8192 else {
      throw Failure(
        .data, code: "unsupported",
        "the image is \(image.width)x\(image.height) pixels; sides of 8 to 8192 can be encoded",
        file: path, hint: "resize the image")
    }
    guard width != image.width || height != image.height else { return image }
    warnings.append(
      "\(path): resized from \(image.width)x\(image.height) to \(width)x\(height), multiples of 8")
    return image.resized(width: width, height: height)
  }

  private func report(_ latents: [Latents], _ codec: LatentCodec, _ warnings: [String]) {
    let shape = [latents.count] + latents[0].shape.dropFirst()
    guard json else {
      for warning in warnings { Console.note("warning: " + Console.sanitized(warning)) }
      Console.note(
        "wrote \(Console.sanitized(output)): latents"
          + " [\(shape.map(String.init).joined(separator: ", "))]")
      return
    }
    let object: JSONObject = [
      "version": 1, "images": .array(pictures.map { .string($0) }), "output": .string(output),
      "tensor": "latents", "shape": .array(shape.map { .integer($0) }),
      "seed": seed.map { .integer($0) } ?? .null,
      "scaling_factor": .number(Double(codec.scale.factor)),
      "shift_factor": .number(Double(codec.scale.shift)),
      "warnings": .array(warnings.map { .string($0) }),
    ]
    Console.print(JSON.object(object).text())
  }
}
