import Diffusion
import OrderedJSON
import Pictures

extension RepeatedJob {
  /// Applies the fields of a text that have an equivalent here, and lists the others.
  ///
  /// - Parameters:
  ///   - text: with the web UI's fields.
  ///   - program: what wrote it.
  ///   - given: the arguments of the command, which take precedence.
  mutating func read(_ text: Infotext, by program: String, given: DrawingJob) {
    warnings.append("made by \(program); expect a similar image, not an identical one")
    var reading = InfotextReading(text)
    reading.readPrompts()
    reading.readNumbers()
    reading.readSampler()
    reading.readSecondPass()
    reading.readFiles(given: given)
    job = reading.job
    warnings += reading.notes
    unknownSampler = reading.unknownSampler
    if !reading.unused.isEmpty {
      warnings.append("ignored settings: " + reading.unused.joined(separator: ", "))
    }
  }
}

/// A job that is being made from a text, and what of the text is left.
private struct InfotextReading {
  let text: Infotext
  var job = DrawingJob()
  var notes: [String] = []
  var unknownSampler: String?
  /// The fields without an equivalent here, in order.
  private(set) var unused: [String] = []

  /// Fields that do not change an image, or are used elsewhere.
  private static let otherFields = [
    "Version", "Model", "Model hash", "User", "RNG", "Safety checker",
  ]

  init(_ text: Infotext) {
    self.text = text
    for field in text.fields
    where !Self.otherFields.contains(field.name) && !unused.contains(field.name) {
      unused.append(field.name)
    }
  }

  mutating func readPrompts() {
    job.prompt = text.prompt
    if !text.negativePrompt.isEmpty { job.negative = text.negativePrompt }
    if let name = text["Emphasis"], let emphasis = PromptStyle.Emphasis(webUIName: name) {
      job.emphasis = emphasis
      drop("Emphasis")
    }
  }

  mutating func readNumbers() {
    for (name, field) in [
      ("Steps", JobField.steps), ("CFG scale", .guidance), ("Seed", .seed),
      ("Clip skip", .clipSkip), ("Variation seed", .variationSeed),
      ("Variation seed strength", .variationStrength), ("Token merging ratio", .tokenMerging),
    ] { set(field, number(name), name) }
    if let sides = sides("Size") {
      set(.width, .integer(sides.width), "Size")
      set(.height, .integer(sides.height), "Size")
    }
    set(.seedResize, text["Seed resize from"].map { .string($0) }, "Seed resize from")
    let source = ["CPU": "torch", "cpu": "torch"][text["RNG"] ?? ""] ?? "cuda"
    set(.rng, .string(source), "RNG")
  }

  mutating func readSampler() {
    guard let sampler = RecordedSampler(text) else { return }
    if let scheduler = sampler.scheduler {
      set(.scheduler, .string(scheduler.name), "Sampler")
      if let difference = sampler.difference { notes.append("the sampler \(difference)") }
    } else {
      unknownSampler = text["Sampler"]
      drop("Sampler")
    }
    if let sigmas = sampler.sigmas { set(.sigmas, .string(sigmas), "Schedule type") }
    if let spacing = sampler.spacing { set(.spacing, .string(spacing.rawValue), "Sampler") }
    drop("Schedule type")
    if let schedule = sampler.unknownSchedule { unused.append("the schedule \(schedule)") }
    if sampler.scheduler?.eta != nil, let eta = number("Eta") { set(.eta, eta, "Eta") }
    readSigmas(sampler.scheduler)
  }

  /// Explicit sigmas; there is one step for each.
  private mutating func readSigmas(_ scheduler: SchedulerDescriptor?) {
    // The picture is finished where they end at 0.
    guard let list = text["Custom Sigmas"], scheduler?.takesSigmas == true,
      let last = list.split(separator: ",").last, Double(last) == 0,
      case .list(let levels) = SigmaSpacing(text: list)
    else { return }
    job.spacing = nil
    set(.sigmas, .string(list), "Custom Sigmas")
    job.steps = levels.count
  }

  /// Hires fix: the second pass at a larger size.
  mutating func readSecondPass() {
    let scale = scale
    if let scale { set(.hires, .number(scale.value), scale.name) }
    guard job.hires != nil else {
      set(.strength, number("Denoising strength"), "Denoising strength")
      return
    }
    set(.hiresStrength, number("Denoising strength"), "Denoising strength")
    // 0: as many as the first pass.
    if number("Hires steps") == 0 {
      drop("Hires steps")
    } else {
      set(.hiresSteps, number("Hires steps"), "Hires steps")
    }
    if text["Hires upscaler"] == "Lanczos" { drop("Hires upscaler") }
  }

  /// The scale, or that of a size with the first pass's proportions.
  private var scale: (value: Double, name: String)? {
    if let first = sides("Size"), let second = sides("Hires resize"), first.width > 0,
      first.width.multipliedReportingOverflow(by: second.height)
        == second.width.multipliedReportingOverflow(by: first.height)
    {
      return (Double(second.width) / Double(first.width), "Hires resize")
    }
    return number("Hires upscale")?.double.map { ($0, "Hires upscale") }
  }

  /// Input files, which the user must give.
  mutating func readFiles(given: DrawingJob) {
    let rows: [(name: String, field: JobField)] = [
      ("Loras", .lora), ("VAE", .vae), ("Init image", .initial), ("ControlNet", .control),
    ]
    for (name, field) in rows {
      guard let value = text[name], !["None", "Automatic"].contains(value) else { continue }
      drop(name)
      drop(name + " hash")
      guard given[field] == nil else { continue }
      notes.append("not applied: \(name), \(value); give it with --\(field.name)")
    }
  }

  // MARK: Fields

  private func number(_ name: String) -> JSON? {
    guard let value = text[name] else { return nil }
    if let integer = Int(value) { return .integer(integer) }
    guard let number = Double(value), number.isFinite else { return nil }
    return Int(exactly: number).map { .integer($0) } ?? .number(number)
  }

  private func sides(_ name: String) -> (width: Int, height: Int)? {
    let sides = (text[name] ?? "").split(separator: "x", omittingEmptySubsequences: false)
      .map { Int($0) }
    guard sides.count == 2, let width = sides[0], let height = sides[1] else { return nil }
    return (width, height)
  }

  /// Sets a field, which makes the text's field used; a value that is not allowed stays unused.
  private mutating func set(_ field: JobField, _ value: JSON?, _ name: String) {
    guard let value, (try? job.set(field, value)) != nil else { return }
    drop(name)
  }

  private mutating func drop(_ name: String) { unused.removeAll { $0 == name } }
}
