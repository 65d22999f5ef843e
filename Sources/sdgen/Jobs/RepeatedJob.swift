import Checkpoint
import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// The job in an image's metadata.
struct RepeatedJob {
  var job: DrawingJob
  /// The name of the model.
  let modelName: String?
  /// The SHA-256 of input files, or its first digits, by field; nil for values that were not files.
  let fileHashes: [String: [String?]]
  /// Settings that are ignored or only approximated.
  private(set) var warnings: [String] = []
  /// Whether identical pixels can be expected.
  let isExact: Bool

  /// - Throws: ``Failure`` if the file has no usable metadata.
  init(_ file: PictureFile, path: String) throws(Failure) {
    if let text = file.metadata.job {
      guard let json = try? JSON(parsing: text), json["version"] == 1,
        let object = json["arguments"]?.object
      else {
        throw Failure(
          .data, code: "unsupported", "unknown version of the image's metadata",
          file: path,
          hint: "use the version of sdgen that made it")
      }
      job = PictureRecord.recorded(try DrawingJob(line: object))
      modelName = json["model"]?.string
      fileHashes = (json["files"]?.object?.members ?? []).reduce(into: [:]) {
        $0[$1.key] = ($1.value.array ?? [$1.value]).map(\.string)
      }
      isExact = true
      let program = json["program"]?.string ?? "another program"
      if program != "sdloom \(toolVersion)" {
        warnings.append("the image was made by \(program); this is sdloom \(toolVersion)")
      }
      return
    }
    guard let text = file.metadata.parameters.map(Infotext.init(parsing:)), !text.fields.isEmpty
    else {
      throw Failure(
        .data, code: "mismatch", "no generation metadata found", file: path,
        hint: "use an image written by sdgen or the AUTOMATIC1111 web UI")
    }
    job = DrawingJob()
    modelName = text["Model"]
    fileHashes = [:]
    isExact = false
    try read(text)
  }

  /// Applies the supported settings of a web UI's infotext.
  private mutating func read(_ text: Infotext) throws(Failure) {
    warnings.append("made by another program; expect a similar image, not an identical one")
    job.prompt = text.prompt
    if !text.negativePrompt.isEmpty { job.negative = text.negativePrompt }
    var unused = text.fields.map(\.name)
    func number(_ name: String) -> JSON? {
      guard let value = text[name] else { return nil }
      if let integer = Int(value) { return .integer(integer) }
      return Double(value).flatMap { $0.isFinite ? .number($0) : nil }
    }
    for (name, field) in [
      ("Steps", JobField.steps), ("CFG scale", .guidance), ("Seed", .seed),
      ("Clip skip", .clipSkip), ("Hires upscale", .hires), ("Hires steps", .hiresSteps),
      ("Token merging ratio", .tokenMerging),
    ] {
      guard let value = number(name) else { continue }
      // The web UI writes 0 if the second pass has the same number of steps.
      if field.name == JobField.hiresSteps.name, value == 0 {
        unused.removeAll { $0 == name }
        continue
      }
      try set(field, value, name, &unused)
    }
    if let strength = number("Denoising strength") {
      try set(
        text["Hires upscale"] == nil ? .strength : .hiresStrength, strength,
        "Denoising strength", &unused)
    }
    let sides = (text["Size"] ?? "").split(separator: "x").compactMap { Int($0) }
    if sides.count == 2 {
      try set(.width, .integer(sides[0]), "Size", &unused)
      try set(.height, .integer(sides[1]), "Size", &unused)
    }
    if let label = SamplerLabel(text) {
      try set(.scheduler, .string(label.scheduler), "Sampler", &unused)
      if let sigmas = label.sigmas { try set(.sigmas, .string(sigmas), "Schedule type", &unused) }
      if text["Schedule type"] == "Automatic" { unused.removeAll { $0 == "Schedule type" } }
    }
    let source = ["CPU": "torch", "cpu": "torch"][text["RNG"] ?? ""] ?? "cuda"
    try set(.rng, .string(source), "RNG", &unused)
    // These do not affect the image, or are handled elsewhere.
    unused.removeAll { ["Version", "Model", "Model hash", "User", "RNG"].contains($0) }
    if !unused.isEmpty { warnings.append("ignored settings: " + unused.joined(separator: ", ")) }
  }

  /// Sets a field and marks the infotext's field as used.
  private mutating func set(
    _ field: JobField, _ value: JSON, _ name: String, _ unused: inout [String]
  ) throws(Failure) {
    do throws(JobError) {
      try job.set(field, value)
    } catch {
      throw Failure(error)
    }
    unused.removeAll { $0 == name }
  }

  /// Finds the input files: those in `given`, otherwise next to the image or in the current
  /// directory.
  ///
  /// - Throws: ``Failure`` `noInput` if one is missing.
  mutating func findFiles(
    given: DrawingJob, beside picture: String, _ digests: FileDigests
  ) throws {
    let folder = picture.lastIndex(of: "/").map { String(picture[...$0]) } ?? ""
    for field in job.fields where field.traits.contains(.input) && given[field] == nil {
      var found: [String] = []
      for value in job.files(field) {
        // A weight may follow a colon.
        let bare = value.lastIndex(of: ":").map { String(value[..<$0]) } ?? value
        guard
          let place = [folder, ""].first(where: {
            access($0 + value, R_OK) == 0 || access($0 + bare, R_OK) == 0
          })
        else {
          throw Failure(
            .noInput, code: "not-found", "the image was made with \(value), which was not found",
            file: picture, hint: "pass its location: --\(field.name) PATH")
        }
        found.append(place + value)
      }
      job.setFiles(field, found)
    }
    for (name, hashes) in fileHashes.sorted(by: { $0.key < $1.key }) {
      guard let field = JobField.named(name), given[field] == nil else { continue }
      let paths = job.files(field).map { FileDigests.path($0, of: field) }
      for (path, hash) in zip(paths, hashes) {
        guard let hash, let now = try digests.hashes(of: path) else { continue }
        if !now.sha256.hasPrefix(hash) {
          warnings.append("\(path) differs from the file that the image was made with")
        }
      }
    }
  }

  /// Whether the image was made with the bundled model.
  var usesEmbeddedModel: Bool {
    guard let modelName, let path = try? EmbeddedModel.path() else { return false }
    return PictureRecord.name(of: path) == modelName
  }
}
