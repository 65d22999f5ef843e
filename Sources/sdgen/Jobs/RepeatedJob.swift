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
  var warnings: [String] = []
  /// An unknown sampler without an equivalent here: the model's own scheduler is used.
  var unknownSampler: String?
  /// Whether identical pixels can be expected.
  let isExact: Bool

  /// - Parameter given: the arguments of the command, which take precedence.
  /// - Throws: ``Failure`` if the file has no usable metadata.
  init(_ file: PictureFile, path: String, given: DrawingJob) throws(Failure) {
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
    let written = file.metadata.parameters.map { Infotext(parsing: $0).withWebUIFields }
    let foreign = written?.fields.isEmpty == false ? nil : file.foreign
    guard let text = foreign?.infotext ?? written, !text.fields.isEmpty else {
      if let foreign {
        throw Failure(
          .data, code: "mismatch",
          "the image was made by \(foreign.program), and its metadata cannot be used: "
            + foreign.notes.joined(separator: "; "), file: path,
          hint: "see sdgen info; pass the prompt and the settings to sdgen")
      }
      throw Failure(
        .data, code: "mismatch", "no generation metadata found", file: path,
        hint: "use an image written by sdgen, a web UI, ComfyUI, InvokeAI or NovelAI")
    }
    job = DrawingJob()
    modelName = text["Model"]
    fileHashes = [:]
    isExact = false
    read(text, by: foreign?.program ?? "another program", given: given)
    warnings += foreign?.notes ?? []
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
