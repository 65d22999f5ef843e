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
  var warnings: [String] = []
  /// A sampler that is unknown and has no like here: the model's own draws.
  var unknownSampler: String?
  /// Whether the same pixels can be expected.
  let isExact: Bool

  /// - Parameter given: what is asked for besides.
  /// - Throws: ``Failure`` where the file says nothing of use.
  init(_ file: PictureFile, path: String, given: DrawingJob) throws(Failure) {
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
    let written = file.metadata.parameters.map { Infotext(parsing: $0).withWebUIFields }
    let foreign = written?.fields.isEmpty == false ? nil : file.foreign
    guard let text = foreign?.infotext ?? written, !text.fields.isEmpty else {
      if let foreign {
        throw Failure(
          .data, code: "mismatch",
          "\(foreign.program) drew the picture, but it cannot be read how: "
            + foreign.notes.joined(separator: "; "), file: path,
          hint: "see sdgen info; give the prompt and the settings to sdgen")
      }
      throw Failure(
        .data, code: "mismatch", "the picture does not say how it was made", file: path,
        hint: "give a picture as sdgen, a web UI, ComfyUI, InvokeAI or NovelAI wrote it")
    }
    job = DrawingJob()
    modelName = text["Model"]
    fileHashes = [:]
    isExact = false
    read(text, by: foreign?.program ?? "another program", given: given)
    warnings += foreign?.notes ?? []
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
