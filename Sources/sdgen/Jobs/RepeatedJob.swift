import Checkpoint
import Diffusion
import Glibc
import ModelFormats
import OrderedJSON
import Pictures
import Terminal

/// The job that a picture's file remembers.
struct RepeatedJob {
  var arguments: JobArguments
  /// What the model was called.
  let modelName: String?
  /// The SHA-256 of files that went in, or its first digits, by their arguments; nil for what was
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
      arguments = try JobArguments(object).filtered(PictureRecord.isRecorded).withoutFolders
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
    arguments = JobArguments()
    modelName = text["Model"]
    fileHashes = [:]
    isExact = false
    try read(text)
  }

  /// Takes over what of a web UI's text has its like here.
  private mutating func read(_ text: Infotext) throws(Failure) {
    warnings.append("another program drew the picture; this one's will be like it, not equal")
    arguments["prompt"] = .string(text.prompt)
    if !text.negativePrompt.isEmpty { arguments["negative"] = .string(text.negativePrompt) }
    var unused = text.fields.map(\.name)
    func number(_ name: String) -> JSON? {
      guard let value = text[name] else { return nil }
      if let integer = Int(value) { return .integer(integer) }
      return Double(value).flatMap { $0.isFinite ? .number($0) : nil }
    }
    for (field, argument) in [
      ("Steps", "steps"), ("CFG scale", "guidance"), ("Seed", "seed"), ("Clip skip", "clip-skip"),
      ("Hires upscale", "hires"), ("Hires steps", "hires-steps"),
      ("Token merging ratio", "token-merging"),
    ] {
      guard let value = number(field) else { continue }
      set(argument, value, field, &unused)
    }
    // The web UI writes 0 where the second pass takes as many steps.
    if arguments["hires-steps"] == 0 { arguments["hires-steps"] = nil }
    if let strength = number("Denoising strength") {
      set(
        text["Hires upscale"] == nil ? "strength" : "hires-strength", strength,
        "Denoising strength", &unused)
    }
    let sides = (text["Size"] ?? "").split(separator: "x").compactMap { Int($0) }
    if sides.count == 2 {
      set("width", .integer(sides[0]), "Size", &unused)
      set("height", .integer(sides[1]), "Size", &unused)
    }
    if let label = SamplerLabel(text) {
      set("scheduler", .string(label.scheduler), "Sampler", &unused)
      if let sigmas = label.sigmas { set("sigmas", .string(sigmas), "Schedule type", &unused) }
      if text["Schedule type"] == "Automatic" { unused.removeAll { $0 == "Schedule type" } }
    }
    let source = ["CPU": "torch", "cpu": "torch"][text["RNG"] ?? ""] ?? "cuda"
    set("rng", .string(source), "RNG", &unused)
    // These say nothing that changes a picture, or are seen to elsewhere.
    unused.removeAll { ["Version", "Model", "Model hash", "User", "RNG"].contains($0) }
    if !unused.isEmpty { warnings.append("not honoured: " + unused.joined(separator: ", ")) }
  }

  /// Sets an argument that this program has; the field counts as honoured.
  private mutating func set(
    _ argument: String, _ value: JSON, _ field: String, _ unused: inout [String]
  ) {
    guard ArgumentTable.generate[argument] != nil else { return }
    arguments[argument] = value
    unused.removeAll { $0 == field }
  }

  /// Finds the files that went in: those that `given` names, else beside the picture or in the
  /// current folder.
  ///
  /// - Throws: ``Failure`` `noInput` where one is missing.
  mutating func findFiles(
    given: JobArguments, beside picture: String, _ digests: FileDigests
  ) throws {
    let folder = picture.lastIndex(of: "/").map { String(picture[...$0]) } ?? ""
    for name in arguments.names where ArgumentTable.generate[name]?.isFile == true {
      guard given[name] == nil else { continue }
      let values = arguments[name]?.array ?? arguments[name].map { [$0] } ?? []
      var found: [JSON] = []
      for value in values.compactMap(\.string) {
        // Behind a colon may stand a weight.
        let bare = value.lastIndex(of: ":").map { String(value[..<$0]) } ?? value
        guard
          let place = [folder, ""].first(where: {
            access($0 + value, R_OK) == 0 || access($0 + bare, R_OK) == 0
          })
        else {
          throw Failure(
            .noInput, code: "not-found", "the picture was made with \(value), which is not here",
            file: picture, hint: "say where it is: --\(name) PATH")
        }
        found.append(.string(place + value))
      }
      arguments[name] =
        ArgumentTable.generate[name]?.isRepeating == true ? .array(found) : found.first
    }
    for (name, hashes) in fileHashes.sorted(by: { $0.key < $1.key }) {
      guard given[name] == nil, let value = arguments[name] else { continue }
      let paths = (value.array ?? [value]).compactMap(\.string)
      for (path, hash) in zip(paths.map { FileDigests.path($0, of: name) }, hashes) {
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
