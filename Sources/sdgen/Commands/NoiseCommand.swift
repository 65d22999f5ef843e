import ArgumentParser
import Checkpoint
import Diffusion
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// Shows the forward process of an image.
struct NoiseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "noise",
    abstract: "Show an image turning into noise: the forward process, as a strip.",
    discussion: """
      The image is encoded to latents x_0. A column shows a timestep t of training: \
      x_t = sqrt(a) x_0 + sqrt(1 - a) e, with a the product of 1 - beta up to t and e the noise of \
      the seed; above x_t as colors, below decoded.

      EXAMPLES
        sdgen noise photo.png -o strip.png
        sdgen noise photo.png --timesteps 0,250,500,750,999 --seed 1 -o strip.png
      """)

  @Argument(
    help: ArgumentHelp("The image: PNG, JPEG or WebP.", valueName: "image"), completion: .file())
  var picture: String

  @Option(
    name: [.customShort("o"), .customLong("output")],
    help: ArgumentHelp("The strip to write (default: noise.png).", valueName: "file"),
    completion: .file())
  var output = "noise.png"

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Timesteps to show, separated by commas (default: eight, evenly spaced).",
      valueName: "numbers"))
  var timesteps: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Seed of the noise, 0 to 2^63-1 (default: 0).", valueName: "n"),
    transform: wholeNumber(in: 0...Int.max))
  var seed = 0

  @Option(.rng) var rng: RandomSourceName?

  @Option(
    help: ArgumentHelp(
      "Write the latents of all columns to this safetensors file (default: none).",
      valueName: "file"), completion: .file())
  var saveLatents: String?

  @OptionGroup var options: CodecOptions

  @Flag(help: "Replace files that exist.")
  var force = false

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func validate() throws {
    guard PictureFormat(path: output) != nil else {
      throw ValidationError("--output must end in .png, .jpg or .webp (got \(output))")
    }
    guard let timesteps else { return }
    guard let chosen = Self.list(timesteps), (1...32).contains(chosen.count) else {
      throw ValidationError(
        "--timesteps must be 1 to 32 numbers, 0 or above, separated by commas (got \(timesteps))")
    }
  }

  private static func list(_ text: String) -> [Int]? {
    let words = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = words.compactMap { Int($0) }.filter { $0 >= 0 }
    return numbers.count == words.count ? numbers : nil
  }

  func run() throws {
    try Failure.fromDrawing(show)
  }

  private func show() throws {
    var warnings: [String] = []
    let image = try EncodeCommand.image(at: picture, &warnings)
    let checkpoint = try options.checkpoint()
    warnings += checkpoint.warnings
    let process = ForwardProcess(
      cumulativeAlphas: try ScheduleTable(of: checkpoint, for: DrawingJob().request(""))
        .cumulativeAlphas)
    let chosen = timesteps.flatMap(Self.list) ?? process.timesteps(count: 8)
    let last = process.cumulativeAlphas.count - 1
    if let beyond = chosen.first(where: { $0 > last }) {
      throw Failure.usage(
        "the model has no timestep \(beyond)", hint: "use timesteps from 0 to \(last)")
    }
    let writer = try FileWriter(path: output, overwrite: force)
    let bar = ProgressBar("noise", elsewhere: json ? .nothing : .lines)
    defer { bar.finish() }
    bar.update(0, "encoding", force: true)
    let codec = try options.codec(of: checkpoint, width: image.width, height: image.height)
    let clean = codec.scale.applied(to: try codec.posterior(of: image).mean)
    var random = try (rng ?? .torch).source(seed: UInt64(seed))
    let noise = Latents(random.normal(count: clean.values.count), shape: clean.shape)
    let columns = chosen.map { process.latents(clean, noise, at: $0) }
    let saved = try saveLatents.map {
      try Latents.writer(latents: columns, to: $0, overwrite: force)
    }
    let entries = try zip(chosen, columns).enumerated().map { index, column in
      let (timestep, latents) = column
      bar.update(
        Double(index) / Double(chosen.count),
        "timestep \(timestep), \(index + 1) of \(chosen.count)",
        force: true)
      return ForwardProcess.Entry(
        timestep: timestep, latents: latents, decoded: try codec.decode(latents))
    }
    bar.finish()
    guard let strip = process.strip(entries) else { return }
    try writer.write(
      PictureFile.encode(strip, as: PictureFile.Compression(PictureFormat(path: output) ?? .png)))
    try FileWriter.commit([saved, writer].compactMap { $0 })
    report(process, chosen, warnings)
  }

  private func report(_ process: ForwardProcess, _ timesteps: [Int], _ warnings: [String]) {
    guard json else {
      for warning in warnings { Console.note("warning: " + Console.sanitized(warning)) }
      for file in [output, saveLatents].compactMap({ $0 }) {
        Console.note("wrote \(Console.sanitized(file))")
      }
      return
    }
    var object: JSONObject = [
      "version": 1, "input": .string(picture), "output": .string(output),
      "seed": .integer(seed),
      "timesteps": .array(
        timesteps.map { timestep in
          [
            "timestep": .integer(timestep),
            "alpha_cumprod": .number(Double(process.cumulativeAlphas[timestep])),
            "signal": .number(Double(process.signal(at: timestep))),
            "noise": .number(Double(process.noise(at: timestep))),
          ]
        }),
      "warnings": .array(warnings.map { .string($0) }),
    ]
    if let saveLatents { object["latents"] = .string(saveLatents) }
    Console.print(JSON.object(object).text())
  }
}
