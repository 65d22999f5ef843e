import ArgumentParser
import Checkpoint
import Diffusion
import Engine
import Glibc
import OrderedJSON
import Terminal

/// Measures the networks of a model, layer by layer.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Time the text encoder, one UNet step with guidance, and the VAE decoder.",
    discussion: """
      Prints for each kind of layer: time, operations and bytes of activations per second, and the \
      fraction of the roofline, measured with a large matmul and a copy. Convolutions count the \
      multiplications of the direct method; Winograd convolutions do fewer, so they can exceed \
      100 %.

      EXAMPLES
        sdgen bench --model sd15.sdflat
        sdgen bench --model sd15.sdflat --dtype f32 --size 768x512
      """)

  @OptionGroup var model: ModelOptions

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Image size in pixels, multiples of 8 from 8 to 8192 (default: the model's own).",
      valueName: "WxH"), transform: PictureSize.init(parsing:))
  var size: PictureSize?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Runs of each network, 1 to 1000; the best counts (default: 3).", valueName: "n"),
    transform: wholeNumber(in: 1...1000))
  var repeats = 3

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    do {
      try bench()
    } catch let error as GenerationError {
      throw Failure(error)
    } catch let error as EngineError {
      throw Failure(error)
    }
  }

  private func bench() throws {
    try model.requireArithmetic()
    let checkpoint = try ModelCheckpoint.toDraw(
      model.path, variant: model.variant, vae: model.vae)
    try checkpoint.requireUndamaged()
    if !json {
      for warning in checkpoint.warnings {
        Console.note("warning: " + Console.sanitized(warning))
      }
    }
    let options = EngineOptions(threads: model.threads, precision: model.precision)
    let roofline = try Roofline.measure(options)
    let loaded = try DiffusionModel(
      checkpoint, options: options, engine: model.networkEngine, width: size?.width,
      height: size?.height)
    let measurement = try Measurement(loaded, size: size, repeats: repeats)
    if json {
      Console.print(
        measurement.json(options, roofline, load: loaded.loadSeconds, checkpoint.warnings).text())
    } else {
      Console.print(measurement.text(options, roofline, load: loaded.loadSeconds))
    }
  }
}

/// An image's width and height in pixels, such as 512x768.
struct PictureSize {
  let width: Int
  let height: Int

  init(parsing argument: String) throws {
    let sides = argument.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1],
      [width, height].allSatisfy({ (8...8192).contains($0) && $0 % 8 == 0 })
    else {
      throw ValidationError("use multiples of 8 from 8 to 8192, such as 512x768")
    }
    (self.width, self.height) = (width, height)
  }
}
