import Checkpoint
import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// The job that a picture's file remembers.
struct RepeatedJob {
  var job: DrawingJob
  /// What the model was called.
  let modelName: String?
  /// The SHA-256 of files that went in, or its first digits, by their fields; nil for what was
  /// no file.
  let fileHashes: [String: [String?]]
  /// What cannot be honoured, or only nearly.
  private(set) var warnings: [String] = []
  /// Whether the same pixels can be expected.
  let isExact: Bool

  /// - Throws: ``Failure`` where the file says nothing of use.
  init(_ file: PictureFile, path: String) throws(Failure) {
    if let text = file.metadata.job {
      guard let json = try? JSON(parsing: text), json["version"] == 1,
        let object = json["arguments"]?.object
      else {
        throw Failure(
          .data, code: "unsupported", "the picture's job is of a form that is not known",
          file: path,
          hint: "draw it with the version of sdgen that made it")
      }
      job = PictureRecord.recorded(try DrawingJob(line: object))
      modelName = json["model"]?.string
      fileHashes = (json["files"]?.object?.members ?? []).reduce(into: [:]) {
        $0[$1.key] = ($1.value.array ?? [$1.value]).map(\.string)
      }
      isExact = true
      let program = json["program"]?.string ?? "another program"
      if program != "sdloom \(toolVersion)" {
        warnings.append("the picture was drawn by \(program); this is sdloom \(toolVersion)")
      }
      return
    }
    guard let text = file.metadata.parameters.map(Infotext.init(parsing:)), !text.fields.isEmpty
    else {
      throw Failure(
        .data, code: "mismatch", "the picture does not say how it was made", file: path,
        hint: "give a picture that sdgen or the AUTOMATIC1111 web UI wrote")
    }
    job = DrawingJob()
    modelName = text["Model"]
    fileHashes = [:]
    isExact = false
    try read(text)
  }

  /// Takes over what of a web UI's text has its like here.
  private mutating func read(_ text: Infotext) throws(Failure) {
    warnings.append("another program drew the picture; this one's will be like it, not equal")
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
      // The web UI writes 0 where the second pass takes as many steps.
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
    // These say nothing that changes a picture, or are seen to elsewhere.
    unused.removeAll { ["Version", "Model", "Model hash", "User", "RNG"].contains($0) }
    if !unused.isEmpty { warnings.append("not honoured: " + unused.joined(separator: ", ")) }
  }

  /// Sets a field; the text's field counts as honoured.
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

  /// Finds the files that went in: those that `given` names, else beside the picture or in the
  /// current folder.
  ///
  /// - Throws: ``Failure`` `noInput` where one is missing.
  mutating func findFiles(
    given: DrawingJob, beside picture: String, _ digests: FileDigests
  ) throws {
    let folder = picture.lastIndex(of: "/").map { String(picture[...$0]) } ?? ""
    for field in job.fields where field.traits.contains(.input) && given[field] == nil {
      var found: [String] = []
      for value in job.files(field) {
        // Behind a colon may stand a weight.
        let bare = value.lastIndex(of: ":").map { String(value[..<$0]) } ?? value
        guard
          let place = [folder, ""].first(where: {
            access($0 + value, R_OK) == 0 || access($0 + bare, R_OK) == 0
          })
        else {
          throw Failure(
            .noInput, code: "not-found", "the picture was made with \(value), which is not here",
            file: picture, hint: "say where it is: --\(field.name) PATH")
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
          warnings.append("\(path) is not the file that the picture was made with")
        }
      }
    }
  }

  /// Whether the embedded model is the one that drew the picture.
  var usesEmbeddedModel: Bool {
    guard let modelName, let path = try? EmbeddedModel.path() else { return false }
    return PictureRecord.name(of: path) == modelName
  }
}
