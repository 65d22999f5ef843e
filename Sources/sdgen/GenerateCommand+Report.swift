import Diffusion
import Glibc
import OrderedJSON
import Terminal

extension GenerateCommand {
  /// Says what was drawn: a line for each picture, a table of times, or JSON.
  func report(_ pictures: [Drawn], guidance: Double, load: Double, _ warnings: [String]) {
    guard !options.output.json else {
      Console.print(json(pictures, guidance: guidance, load: load, warnings).text())
      return
    }
    for picture in pictures {
      let timings = picture.generation.timings
      Console.print(
        "wrote \(Console.sanitized(picture.file)): seed \(picture.request.seed), "
          + "\(picture.generation.image.width)x\(picture.generation.image.height), "
          + "\(picture.request.steps) steps of \(picture.generation.scheduler.rawValue), "
          + Format.seconds(timings.total))
      if options.output.profile { printProfile(timings) }
    }
  }

  /// The article's table: what each component took of the whole.
  private func printProfile(_ timings: GenerationTimings) {
    let unet = timings.unet.reduce(0, +)
    let whole = timings.load + timings.total
    var table = Table([("component", .left), ("seconds", .right), ("share", .right)])
    let rows = [
      ("load", timings.load), ("text encoder", timings.textEncoder), ("UNet", unet),
      ("scheduler", timings.scheduler), ("VAE", timings.vae), ("total", whole),
    ]
    for (name, seconds) in rows {
      table.add([
        name, Format.decimals(seconds, 3), Format.decimals(100 * seconds / whole, 1) + " %",
      ])
    }
    Console.print(table.text())
    var steps = Table([("UNet evaluation", .right), ("seconds", .right)])
    for (index, seconds) in timings.unet.enumerated() {
      steps.add([String(index + 1), Format.decimals(seconds, 3)])
    }
    Console.print(steps.text())
    Console.print("peak memory: \(Format.bytes(peakMemory))")
  }

  private func json(
    _ pictures: [Drawn], guidance: Double, load: Double, _ warnings: [String]
  ) -> JSON {
    let timings = pictures.map(\.generation.timings)
    func sum(_ part: (GenerationTimings) -> Double) -> JSON {
      .number(timings.reduce(0) { $0 + part($1) })
    }
    return [
      "version": 1,
      "pictures": .array(pictures.map { row($0, guidance: guidance) }),
      "timings": [
        "load": .number(load), "text_encoder": sum(\.textEncoder),
        "unet": .array(timings.flatMap(\.unet).map { .number($0) }),
        "scheduler": sum(\.scheduler), "vae": sum(\.vae),
        "total": .number(load + timings.reduce(0) { $0 + $1.total }),
      ],
      "peak_memory_bytes": .integer(peakMemory),
      "warnings": .array(warnings.map { .string($0) }),
    ]
  }

  private func row(_ picture: Drawn, guidance: Double) -> JSON {
    [
      "file": .string(picture.file),
      "seed": Int(exactly: picture.request.seed).map { .integer($0) } ?? .null,
      "width": .integer(picture.generation.image.width),
      "height": .integer(picture.generation.image.height),
      "steps": .integer(picture.request.steps),
      "scheduler": .string(picture.generation.scheduler.rawValue),
      "guidance": .number(guidance),
    ]
  }

  /// The most memory that the process had in use so far, files mapped into it included.
  private var peakMemory: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}
