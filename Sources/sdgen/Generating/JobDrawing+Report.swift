import Checkpoint
import Diffusion
import Glibc
import OrderedJSON
import Terminal

extension JobDrawing {
  /// Reports the result: a line per image, a table of times, or JSON.
  ///
  /// - Parameter same: whether a reproduced image is identical; null if unknown.
  func report(_ drawing: Drawing, same: JSON? = nil) {
    guard job.json != true else {
      Console.print(json(drawing, same: same).text())
      return
    }
    func say(_ line: String) { if job.quiet != true { Console.print(line) } }
    for picture in drawing.pictures {
      say(
        "wrote \(Console.sanitized(picture.file)): seed \(picture.seed), "
          + "\(picture.width)x\(picture.height), "
          + "\(picture.steps.of("step")) of \(picture.scheduler.name), "
          + Format.seconds(picture.timings.total))
      for file in picture.files { say("wrote \(Console.sanitized(file))") }
      show(picture)
      if job.profile == true { printProfile(picture, load: drawing.loadSeconds) }
    }
    for file in drawing.files { say("wrote \(Console.sanitized(file))") }
  }

  /// Shows an image in the terminal on request.
  private func show(_ picture: Drawing.Picture) {
    guard job.isShown, let image = picture.image else {
      return
    }
    guard let graphics = job.showAs ?? .detected else {
      Console.note(
        "note: this terminal does not report image support; use --show-as to try anyway")
      return
    }
    guard let sequence = try? graphics.sequence(for: image) else { return }
    Console.print(sequence)
  }

  /// The table of each component's share of the time.
  private func printProfile(_ picture: Drawing.Picture, load: Double) {
    let timings = picture.timings
    var table = Table([("component", .left), ("seconds", .right), ("share", .right)])
    let parts = [
      ("load", load), ("text encoder", timings.textEncoder),
      ("UNet", timings.unet.reduce(0, +)), ("scheduler", timings.scheduler), ("VAE", timings.vae),
      ("previews and files", picture.fileSeconds.previews + picture.fileSeconds.writing),
    ]
    let whole = load + timings.total + picture.fileSeconds.writing
    let other = max(0, whole - parts.reduce(0) { $0 + $1.1 })
    let rows = parts + [("other", other)]
    let shares = Self.shares(of: rows.map(\.1))
    for ((name, seconds), share) in zip(rows, shares) {
      table.add([name, Format.decimals(seconds, 3), share])
    }
    table.add(["total", Format.decimals(whole, 3), "100.0 %"])
    Console.print(table.text())
    var steps = Table([("UNet evaluation", .right), ("seconds", .right)])
    for (index, seconds) in timings.unet.enumerated() {
      steps.add([String(index + 1), Format.decimals(seconds, 3)])
    }
    Console.print(steps.text())
    Console.print("peak memory: \(Format.bytes(Self.peakMemory))")
  }

  /// Shares of a sum with one decimal, which add up to 100: those that lose most by rounding down are
  /// rounded up.
  static func shares(of parts: [Double]) -> [String] {
    let sum = parts.reduce(0, +)
    guard sum > 0 else { return parts.map { _ in "0.0 %" } }
    let exact = parts.map { 1000 * $0 / sum }
    var tenths = exact.map { Int($0) }
    let order = exact.indices.sorted {
      exact[$0] - exact[$0].rounded(.down) > exact[$1] - exact[$1].rounded(.down)
    }
    for index in order.prefix(max(0, 1000 - tenths.reduce(0, +))) { tenths[index] += 1 }
    return tenths.map { "\($0 / 10).\($0 % 10) %" }
  }

  private func json(_ drawing: Drawing, same: JSON?) -> JSON {
    let timings = drawing.pictures.map(\.timings)
    func sum(_ part: (GenerationTimings) -> Double) -> JSON {
      .number(timings.reduce(0) { $0 + part($1) })
    }
    var result: JSONObject = [
      "version": 1,
      "pictures": .array(rows(drawing)),
      "files": .array(drawing.files.map { .string($0) }),
      "timings": [
        "load": .number(drawing.loadSeconds),
        ComponentName.textEncoder.rawValue: sum(\.textEncoder),
        ComponentName.unet.rawValue: .array(timings.flatMap(\.unet).map { .number($0) }),
        "scheduler": sum(\.scheduler), ComponentName.vae.rawValue: sum(\.vae),
        "previews_and_files": .number(
          drawing.pictures.reduce(0) { $0 + $1.fileSeconds.previews + $1.fileSeconds.writing }),
        "total": .number(drawing.loadSeconds + timings.reduce(0) { $0 + $1.total }),
      ],
      "peak_memory_bytes": .integer(Self.peakMemory),
      "loras": .array(drawing.loras),
      "warnings": .array(drawing.warnings.map { .string($0) }),
    ]
    if let same { result["same"] = same }
    return .object(result)
  }

  /// The images, for `--json`.
  func rows(_ drawing: Drawing) -> [JSON] {
    drawing.pictures.map { row($0, guidance: drawing.guidance) }
  }

  private func row(_ picture: Drawing.Picture, guidance: Double) -> JSON {
    [
      "file": .string(picture.file),
      "seed": Int(exactly: picture.seed).map { .integer($0) } ?? .null,
      "width": .integer(picture.width),
      "height": .integer(picture.height),
      "steps": .integer(picture.steps),
      "scheduler": .string(picture.scheduler.name),
      "guidance": .number(guidance), "safety": picture.safety?.json ?? .null,
      "files": .array(picture.files.map { .string($0) }),
    ]
  }

  /// The peak resident memory of the process, including mapped files.
  static var peakMemory: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
  }
}

extension SafetyVerdict {
  var json: JSON {
    func scores(_ values: [Float]) -> JSON { .array(values.map { .number(Double("\($0)") ?? 0) }) }
    return [
      "flagged": .bool(isFlagged), "concepts": .array(concepts.map { .integer($0) }),
      "concept_scores": scores(conceptScores), "special_care_scores": scores(specialCareScores),
    ]
  }
}
