import ArgumentParser
import Checkpoint
import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Decodes latents to images.
struct DecodeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Decode latents to images with a model's VAE.",
    discussion: """
      Latents are in the UNet's scale, as --save-latents, sdgen encode and diffusers' \
      output_type="latent" give them; ComfyUI's .latent files are recognized. Values are divided by \
      scaling_factor, plus shift_factor, and decoded; the result, -1 to 1, becomes 0 to 255.

      EXAMPLES
        sdgen decode latents.safetensors -o picture.png
        sdgen decode latents.safetensors --tensor noise -o noise.png
      """)

  @Argument(
    help: ArgumentHelp(
      "A safetensors or PyTorch file with latents, [images, channels, height, width].",
      valueName: "latents"), completion: .file())
  var path: String

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp(
      "The image to write; of several out-1.png and so on (default: out.png).", valueName: "file"),
    completion: .file())
  var output = "out.png"

  @Option(
    help: ArgumentHelp(
      "The tensor to decode (default: latents, otherwise the only one).", valueName: "name"))
  var tensor: String?

  @Option(.quality) var quality: Int?
  @OptionGroup var options: CodecOptions

  @Flag(help: "Replace files that exist.")
  var force = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    var job = DrawingJob()
    job.prompt = "latents"
    job.output = output
    job.quality = quality
    do throws(JobError) {
      try job.check()
    } catch {
      throw ValidationError(error.message.text { "--" + $0 })
    }
  }

  func run() throws {
    try Failure.fromDrawing(decode)
  }

  private func decode() throws {
    let saved = try SavedLatents(at: path, tensor: tensor)
    let side = DiffusionModel.downsampling
    guard max(saved.latents.width, saved.latents.height) <= 8192 / side else {
      throw Failure(
        .data, code: "unsupported",
        "the latents are \(saved.latents.width) wide and \(saved.latents.height) high; 1024 is the"
          + " limit", file: path)
    }
    let checkpoint = try options.checkpoint()
    let codec = try options.codec(
      of: checkpoint, width: side * saved.latents.width, height: side * saved.latents.height)
    guard saved.latents.channels == codec.latentChannels else {
      throw Failure(
        .data, code: "mismatch",
        "the latents have \(saved.latents.channels.of("channel")); the model's have"
          + " \(codec.latentChannels)", file: path,
        hint: "use latents of this kind of model, or another model with --model")
    }
    let compression = PictureFile.Compression(
      PictureFormat(path: output) ?? .png, quality: quality)
    let files = try self.files(count: saved.latents.batch)
    let bar = ProgressBar("decoding", elsewhere: json ? .nothing : .lines)
    defer { bar.finish() }
    for (index, writer) in files.enumerated() {
      bar.update(
        Double(index) / Double(files.count), "image \(index + 1) of \(files.count)", force: true)
      let image = try codec.decode(saved.picture(index, codec.scale))
      try writer.writer.write(PictureFile.encode(image, as: compression))
    }
    bar.finish()
    try FileWriter.commit(files.map(\.writer))
    report(saved, files.map(\.name), checkpoint.warnings)
  }

  /// The files, not yet in place: `out.png`, or `out-1.png` and so on.
  private func files(count: Int) throws(FormatError) -> [(name: String, writer: FileWriter)] {
    let (stem, ending) = PicturePath.split(output)
    var files: [(name: String, writer: FileWriter)] = []
    for index in 0..<count {
      let name = count == 1 ? output : "\(stem)-\(index + 1)\(ending)"
      files.append((name, try FileWriter(path: name, overwrite: force)))
    }
    return files
  }

  private func report(_ saved: SavedLatents, _ files: [String], _ warnings: [String]) {
    guard json else {
      for warning in warnings { Console.note("warning: " + Console.sanitized(warning)) }
      if saved.isUnscaled { Console.note("note: the latents are in the VAE's scale (ComfyUI)") }
      for file in files { Console.note("wrote \(Console.sanitized(file))") }
      return
    }
    let object: JSONObject = [
      "version": 1, "input": .string(path), "tensor": .string(saved.name),
      "shape": .array(saved.latents.shape.map { .integer($0) }),
      "scaled": .bool(!saved.isUnscaled), "images": .array(files.map { .string($0) }),
      "warnings": .array(warnings.map { .string($0) }),
    ]
    Console.print(JSON.object(object).text())
  }
}
